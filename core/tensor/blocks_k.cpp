#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/blocks.h"

// Q2_K to Q6_K: blocks of 256 whose sub-blocks have small whole scales of their own.

namespace vitrine::blocks {
namespace {

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

}  // namespace

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

}  // namespace vitrine::blocks
