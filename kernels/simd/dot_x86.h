#pragma once

#include <cstddef>
#include <cstdint>

// The instructions that Debian's Highway (1.0.3) lacks: dot products of bfloat16 pairs into f32 sums. Everything of this
// file is compiled for that instruction set by attributes and may be called where has_bf16_dot() says so.

namespace vitrine {

/// Whether this CPU multiplies bfloat16 numbers in hardware.
bool has_bf16_dot();

/// Columns of a group of packed weights: four vectors of 16 sums.
constexpr std::size_t packed_columns = 64;

/// A product with one group of packed weights. They lie in the order in which they are read: pairs of numbers that follow
/// each other along the inner axis, column beside column, [inner / 2][64][2]; columns behind the last are zeros.
struct PackedProduct {
  const std::uint16_t* x;  ///< [rows, inner], row r at x + r * x_stride
  std::size_t x_stride, rows;
  const std::uint16_t* weights;
  std::size_t inner;    ///< a multiple of 2
  std::size_t columns;  ///< of the group in use, at most 64; no vector of 16 without one of them is read
  const float* bias;    ///< [columns] or null
  float* out;           ///< [rows, columns], row r at out + r * out_stride
  std::size_t out_stride;
  std::size_t x_step = 2;                        ///< from one pair of a row to the next
  std::size_t weights_step = 2 * packed_columns; ///< from one pair of a column to the next
  bool accumulate = false;                       ///< out += instead of out =
};

/// out[r, c] = sum_k x[r, k] * weights[c, k] (+ bias[c]). A sum runs over k in one fixed order, whatever the number of
/// rows and columns. The CPU's own rule holds inside: subnormal numbers count as zero, sums are rounded to nearest even.
void multiply_packed(const PackedProduct& product);

/// Rows of f32 that pack_rows takes at once.
constexpr std::size_t packed_rows = 16;

/// 16 rows of `inner` f32 numbers, a multiple of 32, rounded to bfloat16 into 16 neighbouring columns of packed weights.
/// Subnormal numbers become zero, as the product has them.
/// @param rows    row r at rows + r * stride
/// @param target  the first of the columns
void pack_rows(const float* rows, std::size_t stride, std::size_t inner, std::uint16_t* target);

/// `count` numbers, a multiple of 32, rounded to bfloat16; subnormal ones to zero.
void round_to_bf16(const float* x, std::size_t count, std::uint16_t* out);

}  // namespace vitrine
