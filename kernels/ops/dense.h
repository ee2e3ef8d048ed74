#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/sparse_rows.h"

namespace vitrine {

/// Numbers along the inner axis are multiplied in chunks of this many; a row of x is padded with zeros up to it.
constexpr std::size_t dense_chunk = 32;

constexpr std::size_t padded_to_chunk(std::size_t count) {
  return (count + dense_chunk - 1) / dense_chunk * dense_chunk;
}

/// A few rows of a matrix of weights, as they lie in memory.
struct WeightPanel {
  DType type;
  const std::byte* rows;  ///< first row
  std::size_t row_bytes;  ///< from one row to the next
  std::size_t count;      ///< rows
  std::size_t inner;      ///< numbers of a row
  const SparseRows* sparse = nullptr;  ///< whose rows from `first` on these are, instead
  std::size_t first = 0;
};

/// Rows [first, first + count) of a weight, dense or sparse.
WeightPanel panel_of(const Weight& weight, std::size_t first, std::size_t count);

/// How far ahead of a tile of four rows memory is prefetched: whole tiles, some 6 KB. One tile to 12 KB measure alike in
/// decoding (F16, Q4_1); 24 KB and more cost 10 to 25%.
inline std::size_t prefetch_distance(const WeightPanel& panel) {
  const std::size_t tile = 4 * panel.row_bytes;
  return tile * (6144 / tile < 2 ? 2 : 6144 / tile);
}

/// Dense f32 rows: row r starts at data + r * stride.
template <typename T>
struct DenseRows {
  T* data;
  std::size_t stride;
  std::size_t count;
};

/// out[r, c] = sum_k x[r, k] * panel[c, k] (+ bias[c]), f32, for panels whose inner size is a multiple of dense_chunk.
/// Each sum runs over k in one fixed order, the same for every type, number of rows and place in the matrix: a row's
/// result depends on that row, the weights and the instruction set alone.
/// @param bias  [panel.count] or null
void multiply_panel(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias,
                    const DenseRows<float>& out);

/// The panel as f32, equal to the plain expansion in every bit; each row is padded with zeros up to dense_chunk.
void expand_panel(const WeightPanel& panel, const DenseRows<float>& target);

/// The same rounded to bfloat16 (to nearest even).
void expand_panel(const WeightPanel& panel, const DenseRows<std::uint16_t>& target);

/// Rows [first, first + rows) of a panel as f32 of the padded inner size; zeros where the panel has no such row.
void expand_rows(const WeightPanel& panel, std::size_t first, std::size_t rows, float* target);

/// A panel of at most packed_columns rows, rounded to bfloat16, in the order of a PackedProduct (kernels/simd/dot_x86.h),
/// with zeros up to dense_chunk and to packed_columns.
/// @param target   packed_columns * padded inner size
/// @param scratch  room for packed_rows rows of the padded inner size
void pack_panel(const WeightPanel& panel, std::uint16_t* target, float* scratch);

/// Whether products decode the type themselves; IQ1 to IQ3, TQ and MXFP4 are expanded by their plain definition.
bool has_decoder(DType type);

/// Whether the panel's rows can be read chunk by chunk.
bool is_chunked(const WeightPanel& panel);

}  // namespace vitrine
