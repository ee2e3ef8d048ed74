#include "core/tensor/blocks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/base/half.h"

namespace vitrine::blocks {
namespace {

constexpr std::size_t small = 32, super = 256;  // numbers a block holds

std::uint16_t load_u16(const std::byte* source) {
  std::uint16_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return bits;
}

float load_f16(const std::byte* source) { return f32_from_f16(load_u16(source)); }

void store_u16(std::byte* target, std::uint16_t bits) { std::memcpy(target, &bits, sizeof bits); }

unsigned byte_at(const std::byte* source, std::size_t index) { return std::to_integer<unsigned>(source[index]); }

std::uint32_t load_u32(const std::byte* source) {
  std::uint32_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return bits;
}

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

/// Scale and minimum of sub-block j of a Q4_K or Q5_K block: eight pairs of six bits in twelve bytes.
void scale_and_min(const std::byte* packed, std::size_t j, unsigned& scale, unsigned& minimum) {
  if (j < 4) {
    scale = byte_at(packed, j) & 63u;
    minimum = byte_at(packed, j + 4) & 63u;
  } else {
    scale = (byte_at(packed, j + 4) & 15u) | (byte_at(packed, j - 4) >> 6 << 4);
    minimum = (byte_at(packed, j + 4) >> 4) | (byte_at(packed, j) >> 6 << 4);
  }
}

/// 32 numbers from 16 bytes: low nibbles, then high ones.
void expand_iq4_levels(const std::byte* nibbles, float scale, float* target) {
  for (std::size_t i = 0; i < small / 2; ++i) {
    const unsigned pair = byte_at(nibbles, i);
    target[i] = scale * static_cast<float>(iq4_levels[pair & 15u]);
    target[i + small / 2] = scale * static_cast<float>(iq4_levels[pair >> 4]);
  }
}

}  // namespace

void expand_f32(const std::byte* source, float* target, std::size_t count) {
  std::memcpy(target, source, count * sizeof(float));
}

void expand_f16(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) target[i] = load_f16(source + 2 * i);
}

void expand_bf16(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) target[i] = f32_from_bf16(load_u16(source + 2 * i));
}

void expand_f64(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    double number;
    std::memcpy(&number, source + i * sizeof number, sizeof number);
    target[i] = static_cast<float>(number);
  }
}

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

void expand_q4_k(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 144) {
    const float scale = load_f16(source), minimum = load_f16(source + 2);
    const std::byte* nibbles = source + 16;
    for (std::size_t j = 0; j < 8; ++j, target += small) {  // sub-blocks share bytes in pairs: low, then high nibbles
      unsigned sub_scale = 0, sub_min = 0;
      scale_and_min(source + 4, j, sub_scale, sub_min);
      const float d = scale * static_cast<float>(sub_scale), m = minimum * static_cast<float>(sub_min);
      for (std::size_t i = 0; i < small; ++i) {
        const unsigned pair = byte_at(nibbles, j / 2 * small + i);
        target[i] = d * static_cast<float>(j % 2 == 0 ? pair & 15u : pair >> 4) - m;
      }
    }
  }
}

void expand_q5_k(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 176) {
    const float scale = load_f16(source), minimum = load_f16(source + 2);
    const std::byte *fifths = source + 16, *nibbles = source + 48;
    for (std::size_t j = 0; j < 8; ++j, target += small) {  // as Q4_K, and bit j of 32 bytes on top
      unsigned sub_scale = 0, sub_min = 0;
      scale_and_min(source + 4, j, sub_scale, sub_min);
      const float d = scale * static_cast<float>(sub_scale), m = minimum * static_cast<float>(sub_min);
      for (std::size_t i = 0; i < small; ++i) {
        const unsigned pair = byte_at(nibbles, j / 2 * small + i);
        const unsigned level = (j % 2 == 0 ? pair & 15u : pair >> 4) | (byte_at(fifths, i) >> j & 1u) << 4;
        target[i] = d * static_cast<float>(level) - m;
      }
    }
  }
}

void expand_q6_k(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 210, target += super) {
    const float scale = load_f16(source + 208);
    for (std::size_t i = 0; i < super; ++i) {  // halves of 128; in each, four runs of 32
      const std::size_t half = i / 128, run = i % 128 / 32, lane = i % 32;
      const unsigned low = byte_at(source, half * 64 + (run % 2) * 32 + lane) >> (run / 2 * 4) & 15u;
      const unsigned high = byte_at(source, 128 + half * 32 + lane) >> (2 * run) & 3u;
      const auto sub_scale = static_cast<std::int8_t>(source[192 + half * 8 + run * 2 + lane / 16]);
      const int value = static_cast<int>(low | high << 4) - 32;
      target[i] = scale * static_cast<float>(sub_scale) * static_cast<float>(value);
    }
  }
}

void expand_q2_k(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 84, target += super) {
    const float scale = load_f16(source + 80), minimum = load_f16(source + 82);
    for (std::size_t i = 0; i < super; ++i) {  // as Q6_K: halves of 128; in each, four runs of 32
      const std::size_t half = i / 128, run = i % 128 / 32, lane = i % 32;
      const unsigned factors = byte_at(source, half * 8 + run * 2 + lane / 16), level = byte_at(source, 16 + half * 32 + lane) >> (2 * run) & 3u;
      target[i] = scale * static_cast<float>(factors & 15u) * static_cast<float>(level) - minimum * static_cast<float>(factors >> 4);
    }
  }
}

void expand_q3_k(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 110, target += super) {
    const float scale = load_f16(source + 108);
    for (std::size_t i = 0; i < super; ++i) {
      const std::size_t half = i / 128, run = i % 128 / 32, lane = i % 32, j = half * 8 + run * 2 + lane / 16;
      const unsigned low = byte_at(source, 32 + half * 32 + lane) >> (2 * run) & 3u, high = byte_at(source, lane) >> (half * 4 + run) & 1u;
      // Sixteen scales of six bits: low four bits in eight bytes, high two bits in the four bytes behind them.
      const unsigned nibble = byte_at(source, 96 + j % 8) >> (j / 8 * 4) & 15u, top = byte_at(source, 104 + j % 4) >> (j / 4 * 2) & 3u;
      const int sub_scale = static_cast<int>(nibble | top << 4) - 32, level = static_cast<int>(low | high << 2) - 4;
      target[i] = scale * static_cast<float>(sub_scale) * static_cast<float>(level);
    }
  }
}

void expand_iq4_nl(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 18, target += small) {
    expand_iq4_levels(source + 2, load_f16(source), target);
  }
}

void expand_iq4_xs(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 136) {
    const float scale = load_f16(source);
    for (std::size_t j = 0; j < 8; ++j, target += small) {
      const unsigned low = byte_at(source, 4 + j / 2) >> (j % 2 * 4) & 15u, high = static_cast<unsigned>(load_u16(source + 2)) >> (2 * j) & 3u;
      expand_iq4_levels(source + 8 + j * 16, scale * static_cast<float>(static_cast<int>(low | high << 4) - 32), target);
    }
  }
}

void compress_f32(const float* source, std::byte* target, std::size_t count) {
  std::memcpy(target, source, count * sizeof(float));
}

void compress_f16(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) store_u16(target + 2 * i, f16_from_f32(source[i]));
}

void compress_bf16(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) store_u16(target + 2 * i, bf16_from_f32(source[i]));
}

void compress_q8_0(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += 34) {
    float largest = 0.0f;
    for (std::size_t i = 0; i < small; ++i) largest = std::max(largest, std::fabs(source[i]));
    const float scale = largest / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    for (std::size_t i = 0; i < small; ++i) {
      target[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(source[i] * inverse)));
    }
  }
}

void compress_q4_0(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += 18) {
    float extreme = 0.0f;  // the number of largest magnitude, with its sign, becomes -8
    for (std::size_t i = 0; i < small; ++i) {
      if (std::fabs(source[i]) > std::fabs(extreme)) extreme = source[i];
    }
    const float scale = extreme / -8.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    const auto level = [&](float x) { return std::min(15, static_cast<int>(x * inverse + 8.5f)); };
    for (std::size_t i = 0; i < small / 2; ++i) {
      target[2 + i] = static_cast<std::byte>(level(source[i]) | level(source[i + small / 2]) << 4);
    }
  }
}

void compress_q4_1(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += 20) {
    const auto [low, high] = std::minmax_element(source, source + small);
    const float minimum = *low, scale = (*high - minimum) / 15.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    store_u16(target + 2, f16_from_f32(minimum));
    const auto level = [&](float x) { return std::min(15, static_cast<int>((x - minimum) * inverse + 0.5f)); };
    for (std::size_t i = 0; i < small / 2; ++i) {
      target[4 + i] = static_cast<std::byte>(level(source[i]) | level(source[i + small / 2]) << 4);
    }
  }
}

void compress_q5_0(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += 22) {
    float extreme = 0.0f;  // the number of largest magnitude, with its sign, becomes -16
    for (std::size_t i = 0; i < small; ++i) {
      if (std::fabs(source[i]) > std::fabs(extreme)) extreme = source[i];
    }
    const float scale = extreme / -16.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    unsigned levels[small];
    for (std::size_t i = 0; i < small; ++i) {
      levels[i] = std::min(31u, static_cast<unsigned>(static_cast<int>(source[i] * inverse + 16.5f)));
    }
    store_five_bits(levels, target + 2);
  }
}

void compress_q5_1(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += small, target += 24) {
    const auto [low, high] = std::minmax_element(source, source + small);
    const float minimum = *low, scale = (*high - minimum) / 31.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    store_u16(target, f16_from_f32(scale));
    store_u16(target + 2, f16_from_f32(minimum));
    unsigned levels[small];
    for (std::size_t i = 0; i < small; ++i) {
      levels[i] = std::min(31u, static_cast<unsigned>(static_cast<int>((source[i] - minimum) * inverse + 0.5f)));
    }
    store_five_bits(levels, target + 4);
  }
}

}  // namespace vitrine::blocks
