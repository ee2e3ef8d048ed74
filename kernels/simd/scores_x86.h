#pragma once

#include <cstddef>
#include <cstdint>

namespace vitrine {

/// How a cache holds numbers: f16, q8_0 or q4_1 (core/tensor/dtype.h).
enum class KeyNumbers { halves, bytes, nibbles };

/// A few rows of queries against a run of keys as a cache holds them, both rounded to bfloat16.
struct KeyScores {
  KeyNumbers numbers;
  const std::byte* keys;
  std::size_t row_bytes, count, dim;  ///< dim: a multiple of 16, of a block type of 32
  const std::uint16_t* q;             ///< [rows, dim rounded up to 32], zeros behind dim
  std::size_t rows;
  float* scores;  ///< [rows, count rounded up to 4]
  std::size_t stride;
  const std::byte* ahead;  ///< count * row_bytes bytes that are prefetched meanwhile
};

/// scores[r, j] = sum_d q[r, d] * keys[j, d]; may be called where has_bf16_dot() says so (kernels/simd/dot_x86.h).
void score_keys(const KeyScores& scores);

}  // namespace vitrine
