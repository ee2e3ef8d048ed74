#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/block_search_internal.h"
#include "core/tensor/blocks.h"

// Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: blocks of 32 with a scale, and a minimum or none. Rounded as ggml's reference does, to the byte; with
// weights by a search for the least weighted square error. A block with a NaN or an infinity becomes NaN.

namespace vitrine::blocks {
namespace {

/// Level i of a Q5_0 or Q5_1 block: 32 fifth bits, then nibbles, low ones first.
unsigned five_bits(const std::byte* fifths, std::size_t i) {
  const unsigned pair = byte_at(fifths, 4 + i % 16);
  return (i < 16 ? pair & 15u : pair >> 4) | (load_u32(fifths) >> i & 1u) << 4;
}

/// The reverse, for levels below 32.
void store_five_bits(const unsigned (&levels)[small], std::byte* fifths) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < small; ++i) bits |= (levels[i] >> 4) << i;
  std::memcpy(fifths, &bits, sizeof bits);
  for (std::size_t i = 0; i < small / 2; ++i) {
    fifths[4 + i] = static_cast<std::byte>((levels[i] & 15u) | (levels[i + small / 2] & 15u) << 4);
  }
}

/// Whether all numbers of a block are finite; a block where one is not gets a NaN for its scale, and nothing else.
bool begin_block(const float* source, std::byte* target, std::size_t block_bytes) {
  if (std::all_of(source, source + small, [](float x) { return std::isfinite(x); })) return true;
  std::memset(target, 0, block_bytes);
  store_u16(target, nan_half);
  return false;
}

void store_nibbles(const unsigned (&levels)[small], std::byte* nibbles) {
  for (std::size_t i = 0; i < small / 2; ++i) nibbles[i] = static_cast<std::byte>(levels[i] | levels[i + small / 2] << 4);
}

/// Writes a block with the scale and the levels from -half to half - 1 of least weighted error; store_levels(levels, place).
template <int half, class Store>
auto search_scaled(const Store& store_levels) {
  return [&store_levels](const float* source, const float* importance, std::byte* target) {
    Weighed<small> block;
    if (!block.take(source, importance)) return store_u16(target, nan_half);
    const WholeLevels whole{static_cast<float>(-half), static_cast<float>(half - 1), 0.1f};
    const HalfScale scale = half_scale(fit_scale<small>({block.x, block.weight}, whole), block.exponent);
    store_u16(target, scale.bits);
    const float inverse = std::fabs(scale.value) >= smallest_scale ? 1.0f / scale.value : 0.0f;
    unsigned levels[small];
    for (std::size_t i = 0; i < small; ++i) levels[i] = static_cast<unsigned>(static_cast<int>(whole(block.x[i] * inverse)) + half);
    store_levels(levels, target + 2);
  };
}

/// The same with a minimum, levels from 0 to top.
template <int top, class Store>
auto search_affine(const Store& store_levels) {
  return [&store_levels](const float* source, const float* importance, std::byte* target) {
    Weighed<small> block;
    if (!block.take(source, importance)) return store_u16(target, nan_half);
    const float low = *std::min_element(block.x, block.x + small);
    for (float& x : block.x) x -= low;  // the fit wants numbers that are not far from 0 beside their spread
    const Affine fit = fit_affine<small>({block.x, block.weight}, static_cast<float>(top), Offset::any);
    const HalfScale scale = half_scale(fit.scale, block.exponent), minimum = half_scale(fit.offset + low, block.exponent);
    store_u16(target, scale.bits);
    store_u16(target + 2, minimum.bits);
    const float inverse = scale.value >= smallest_scale ? 1.0f / scale.value : 0.0f;
    unsigned levels[small];
    for (std::size_t i = 0; i < small; ++i) {
      levels[i] = static_cast<unsigned>(nearest(std::clamp((block.x[i] + low - minimum.value) * inverse, 0.0f, static_cast<float>(top))));
    }
    store_levels(levels, target + 4);
  };
}

/// As ggml's reference: the number of largest magnitude, with its sign, becomes -half.
template <int half, std::size_t block_bytes, class Store>
void round_scaled(const float* source, std::byte* target, std::size_t count, const Store& store_levels) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += block_bytes) {
    if (!begin_block(source, target, block_bytes)) continue;
    float extreme = 0.0f;
    for (std::size_t i = 0; i < small; ++i) {
      if (std::fabs(source[i]) > std::fabs(extreme)) extreme = source[i];
    }
    const float scale = extreme / static_cast<float>(-half), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    unsigned levels[small];
    for (std::size_t i = 0; i < small; ++i) {
      levels[i] = std::min(2u * half - 1, static_cast<unsigned>(static_cast<int>(source[i] * inverse + (static_cast<float>(half) + 0.5f))));
    }
    store_levels(levels, target + 2);
  }
}

/// As ggml's reference: the smallest number is the minimum, the largest becomes top.
template <int top, std::size_t block_bytes, class Store>
void round_affine(const float* source, std::byte* target, std::size_t count, const Store& store_levels) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += block_bytes) {
    if (!begin_block(source, target, block_bytes)) continue;
    const auto [low, high] = std::minmax_element(source, source + small);
    const float minimum = *low, scale = (*high - minimum) / static_cast<float>(top), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    store_u16(target + 2, f16_from_f32(minimum));
    unsigned levels[small];
    for (std::size_t i = 0; i < small; ++i) {
      levels[i] = std::min(static_cast<unsigned>(top), static_cast<unsigned>(static_cast<int>((source[i] - minimum) * inverse + 0.5f)));
    }
    store_levels(levels, target + 4);
  }
}

}  // namespace

void expand_q8_0(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 34, target += small) {
    const float scale = load_f16(source);
    for (std::size_t i = 0; i < small; ++i) target[i] = scale * static_cast<float>(static_cast<std::int8_t>(source[2 + i]));
  }
}

void expand_q4_0(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 18, target += small) {
    const float scale = load_f16(source);
    for (std::size_t i = 0; i < small / 2; ++i) {
      const unsigned pair = byte_at(source, 2 + i);
      target[i] = scale * (static_cast<float>(pair & 15u) - 8.0f);
      target[i + small / 2] = scale * (static_cast<float>(pair >> 4) - 8.0f);
    }
  }
}

void expand_q4_1(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 20, target += small) {
    const float scale = load_f16(source), minimum = load_f16(source + 2);
    for (std::size_t i = 0; i < small / 2; ++i) {
      const unsigned pair = byte_at(source, 4 + i);
      target[i] = scale * static_cast<float>(pair & 15u) + minimum;
      target[i + small / 2] = scale * static_cast<float>(pair >> 4) + minimum;
    }
  }
}

void expand_q5_0(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 22, target += small) {
    const float scale = load_f16(source);
    for (std::size_t i = 0; i < small; ++i) target[i] = scale * (static_cast<float>(five_bits(source + 2, i)) - 16.0f);
  }
}

void expand_q5_1(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 24, target += small) {
    const float scale = load_f16(source), minimum = load_f16(source + 2);
    for (std::size_t i = 0; i < small; ++i) target[i] = scale * static_cast<float>(five_bits(source + 4, i)) + minimum;
  }
}

void compress_q8_0(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += 34) {
    if (!begin_block(source, target, 34)) continue;
    float largest = 0.0f;
    for (std::size_t i = 0; i < small; ++i) largest = std::max(largest, std::fabs(source[i]));
    const float scale = largest / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    for (std::size_t i = 0; i < small; ++i) {
      target[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(source[i] * inverse)));
    }
  }
}

void compress_q4_0(const float* source, std::byte* target, std::size_t count) { round_scaled<8, 18>(source, target, count, store_nibbles); }
void compress_q4_1(const float* source, std::byte* target, std::size_t count) { round_affine<15, 20>(source, target, count, store_nibbles); }
void compress_q5_0(const float* source, std::byte* target, std::size_t count) { round_scaled<16, 22>(source, target, count, store_five_bits); }
void compress_q5_1(const float* source, std::byte* target, std::size_t count) { round_affine<31, 24>(source, target, count, store_five_bits); }

void compress_weighted_q4_0(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_block<small, 18>(source, importance, target, count, search_scaled<8>(store_nibbles));
}

void compress_weighted_q4_1(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_block<small, 20>(source, importance, target, count, search_affine<15>(store_nibbles));
}

void compress_weighted_q5_0(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_block<small, 22>(source, importance, target, count, search_scaled<16>(store_five_bits));
}

void compress_weighted_q5_1(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_block<small, 24>(source, importance, target, count, search_affine<31>(store_five_bits));
}

}  // namespace vitrine::blocks
