#include <cstring>

#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/block_search_internal.h"
#include "core/tensor/blocks.h"

// TQ1_0 and TQ2_0: blocks of 256 levels out of -1, 0, 1 under one scale, five in a byte or four in a byte.

namespace vitrine::blocks {
namespace {

constexpr unsigned powers[] = {1, 3, 9, 27, 81};

/// Where TQ1_0 holds level i: digit `digit` (the first one is the most significant) of byte `byte`. 160 levels lie in 32 bytes, 80 in 16,
/// 16 in the last four.
struct Digit {
  std::size_t byte, digit;
};

constexpr Digit digit_of(std::size_t i) {
  if (i < 160) return {i % 32, i / 32};
  if (i < 240) return {32 + (i - 160) % 16, (i - 160) / 16};
  return {48 + (i - 240) % 4, (i - 240) / 4};
}

struct Ternary {
  float operator()(float x) const { return nearest(std::min(std::max(x, -1.0f), 1.0f)); }
  /// The largest number becomes 1 up to 12, so that a few large ones do not silence all others.
  template <class Try>
  void anchors(const Try& try_anchor) const {
    for (float anchor = 1.0f; anchor < 12.0f; anchor *= 1.15f) try_anchor(anchor);
  }
};

/// Scale and levels of least error; false where it cannot be expressed.
bool search(const float* source, const float* importance, HalfScale& scale, int (&levels)[super]) {
  Weighed<super> block;
  if (!block.take(source, importance)) return false;
  scale = half_scale(std::fabs(fit_scale<super>({block.x, block.weight}, Ternary())), block.exponent);
  if (!std::isfinite(scale.value)) return false;
  const float inverse = scale.value >= smallest_scale ? 1.0f / scale.value : 0.0f;
  for (std::size_t i = 0; i < super; ++i) levels[i] = static_cast<int>(Ternary()(block.x[i] * inverse));
  return true;
}

}  // namespace

void expand_tq1_0(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 54, target += super) {
    const float scale = load_f16(source + 52);
    for (std::size_t i = 0; i < super; ++i) {
      const Digit place = digit_of(i);
      // A byte is a fraction of 243rds in 256ths: times 3^digit, its next digit stands above the point.
      const unsigned digit = (byte_at(source, place.byte) * powers[place.digit] & 255u) * 3u >> 8;
      target[i] = scale * (static_cast<float>(digit) - 1.0f);
    }
  }
}

void expand_tq2_0(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 66, target += super) {
    const float scale = load_f16(source + 64);
    for (std::size_t i = 0; i < super; ++i) {
      const unsigned level = byte_at(source, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3u;
      target[i] = scale * (static_cast<float>(level) - 1.0f);
    }
  }
}

void compress_tq1_0(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_block<super, 54>(source, importance, target, count, [](const float* numbers, const float* weights, std::byte* bytes) {
    HalfScale scale{nan_half, 0.0f};
    int levels[super] = {};
    if (!search(numbers, weights, scale, levels)) scale.bits = nan_half;
    unsigned digits[52] = {};
    for (std::size_t i = 0; i < super; ++i) {
      const Digit place = digit_of(i);
      digits[place.byte] += static_cast<unsigned>(levels[i] + 1) * powers[4 - place.digit];
    }
    for (std::size_t byte = 0; byte < 52; ++byte) bytes[byte] = static_cast<std::byte>((digits[byte] * 256u + 242u) / 243u);
    store_u16(bytes + 52, scale.bits);
  });
}

void compress_tq2_0(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_block<super, 66>(source, importance, target, count, [](const float* numbers, const float* weights, std::byte* bytes) {
    HalfScale scale{nan_half, 0.0f};
    int levels[super] = {};
    if (!search(numbers, weights, scale, levels)) scale.bits = nan_half;
    for (std::size_t i = 0; i < super; ++i) {
      bytes[i / 128 * 32 + i % 32] |= static_cast<std::byte>(static_cast<unsigned>(levels[i] + 1) << (i % 128 / 32 * 2));
    }
    store_u16(bytes + 64, scale.bits);
  });
}

}  // namespace vitrine::blocks
