#include <cstring>

#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/block_search_internal.h"
#include "core/tensor/blocks.h"

// f32 to Q2_K, Q3_K, Q4_K, Q5_K, Q6_K: searches for the least weighted square error; without importance large numbers count a little more. A block with a NaN or an infinity, or with
// numbers beyond what binary16 scales reach, becomes NaN: what cannot be expressed does not disappear.

namespace vitrine::blocks {
namespace {

/// Calls `write(block, target)` for every block of 256 that is finite, and `unfit(target)` for others.
template <std::size_t block_bytes, class Write>
void each_finite(const float* source, const float* importance, std::byte* target, std::size_t count, const Write& write) {
  Weighed<super> block;
  each_block<super, block_bytes>(source, importance, target, count, [&](const float* numbers, const float* weights, std::byte* bytes) {
    const bool finite = block.take(numbers, weights);
    if (finite && !weights) block.favour_large_a_little();
    finite ? write(block, bytes) : write.unfit(bytes);
  });
}

/// Eight pairs of six bits in twelve bytes, as `scale_and_min` reads them.
void store_scales_and_minima(const int (&scales)[8], const int (&minima)[8], std::byte* packed) {
  const auto put = [packed](std::size_t place, int bits) { packed[place] |= static_cast<std::byte>(bits); };
  for (std::size_t j = 0; j < 4; ++j) {
    put(j, scales[j] | scales[j + 4] >> 4 << 6);
    put(j + 4, minima[j] | minima[j + 4] >> 4 << 6);
    put(j + 8, (scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
  }
}

/// Q4_K and Q5_K: two binary16 scales, packed factors, fifth bits where there are any, nibbles.
template <int top>
struct Affine32 {
  static constexpr std::size_t nibbles = top > 15 ? 48 : 16;

  void unfit(std::byte* target) const { store_u16(target, nan_half); }
  void operator()(const Weighed<super>& block, std::byte* target) const {
    AffineSearch<8, small> search{block, static_cast<float>(top), 63};
    search.search();
    store_u16(target, search.scale.bits);
    store_u16(target + 2, search.minimum.bits);
    store_scales_and_minima(search.factors, search.lowerings, target + 4);
    for (std::size_t j = 0; j < 8; ++j) {
      for (std::size_t i = 0; i < small; ++i) {
        const auto level = static_cast<unsigned>(search.level(j, i));
        target[nibbles + j / 2 * small + i] |= static_cast<std::byte>((level & 15u) << (j % 2 * 4));
        if constexpr (top > 15) target[16 + i] |= static_cast<std::byte>(level >> 4 << j);
      }
    }
  }
};

struct AsQ2K {
  void unfit(std::byte* target) const { store_u16(target + 80, nan_half); }
  void operator()(const Weighed<super>& block, std::byte* target) const {
    AffineSearch<16, 16> search{block, 3.0f, 15};
    search.search();
    store_u16(target + 80, search.scale.bits);
    store_u16(target + 82, search.minimum.bits);
    for (std::size_t j = 0; j < 16; ++j) {
      target[j] = static_cast<std::byte>(search.factors[j] | search.lowerings[j] << 4);
      const std::size_t half = j / 8, run = j % 8 / 2;
      for (std::size_t i = 0; i < 16; ++i) {
        target[16 + half * 32 + j % 2 * 16 + i] |= static_cast<std::byte>(static_cast<unsigned>(search.level(j, i)) << (2 * run));
      }
    }
  }
};

struct AsQ3K {
  void unfit(std::byte* target) const { store_u16(target + 108, nan_half); }
  void operator()(const Weighed<super>& block, std::byte* target) const {
    ScaledSearch<16, 16, WholeLevels> search{block, {-4.0f, 3.0f, 0.1f}, -32, 31};
    search.search();
    store_u16(target + 108, search.scale.bits);
    for (std::size_t j = 0; j < 16; ++j) {
      const auto factor = static_cast<unsigned>(search.factors[j] + 32);
      target[96 + j % 8] |= static_cast<std::byte>((factor & 15u) << (j / 8 * 4));
      target[104 + j % 4] |= static_cast<std::byte>(factor >> 4 << (j / 4 * 2));
      const std::size_t half = j / 8, run = j % 8 / 2;
      for (std::size_t i = 0; i < 16; ++i) {
        const auto level = static_cast<unsigned>(static_cast<int>(search.level(j, i)) + 4);
        const std::size_t lane = j % 2 * 16 + i;
        target[32 + half * 32 + lane] |= static_cast<std::byte>((level & 3u) << (2 * run));
        target[lane] |= static_cast<std::byte>(level >> 2 << (half * 4 + run));
      }
    }
  }
};

struct AsQ6K {
  void unfit(std::byte* target) const { store_u16(target + 208, nan_half); }
  void operator()(const Weighed<super>& block, std::byte* target) const {
    ScaledSearch<16, 16, WholeLevels> search{block, {-32.0f, 31.0f, 0.2f}, -128, 127};
    search.search();
    store_u16(target + 208, search.scale.bits);
    for (std::size_t j = 0; j < 16; ++j) {
      target[192 + j] = static_cast<std::byte>(search.factors[j]);
      const std::size_t half = j / 8, run = j % 8 / 2;
      for (std::size_t i = 0; i < 16; ++i) {
        const auto level = static_cast<unsigned>(static_cast<int>(search.level(j, i)) + 32);
        const std::size_t lane = j % 2 * 16 + i;
        target[half * 64 + (run % 2) * 32 + lane] |= static_cast<std::byte>((level & 15u) << (run / 2 * 4));
        target[128 + half * 32 + lane] |= static_cast<std::byte>(level >> 4 << (2 * run));
      }
    }
  }
};

}  // namespace

void compress_q2_k(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_finite<84>(source, importance, target, count, AsQ2K());
}

void compress_q3_k(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_finite<110>(source, importance, target, count, AsQ3K());
}

void compress_q4_k(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_finite<144>(source, importance, target, count, Affine32<15>());
}

void compress_q5_k(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_finite<176>(source, importance, target, count, Affine32<31>());
}

void compress_q6_k(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_finite<210>(source, importance, target, count, AsQ6K());
}

}  // namespace vitrine::blocks
