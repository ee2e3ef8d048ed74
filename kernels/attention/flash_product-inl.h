// Products in f32, a tile of sums in the registers.

#if defined(VITRINE_FLASH_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_FLASH_PRODUCT_INL_H
#undef VITRINE_FLASH_PRODUCT_INL_H
#else
#define VITRINE_FLASH_PRODUCT_INL_H
#endif

#include <cstddef>

#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

// A tile of the products: rows by vectors, so that sums, one row of b and one number of a fit into the registers.
constexpr std::size_t tile_rows = 6;
constexpr std::size_t tile_vectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

/// c[row, column] = sum_k a[row, k] b[k, column], or c += that. a lies [row, k] or, as weights do, [k, row].
struct Multiply {
  const float* a;
  std::size_t a_stride, rows, inner;
  const float* b;
  std::size_t b_stride, columns;  // a multiple of the vector
  float* c;
  std::size_t c_stride;
};

/// How a product treats a and c.
enum class Form { scores, values };

template <Form form, std::size_t rows, std::size_t vectors>
HWY_INLINE void multiply_tile(const Multiply& m, std::size_t row, std::size_t column) {
  const Lanes f;
  const std::size_t row_step = form == Form::values ? 1 : m.a_stride, k_step = form == Form::values ? m.a_stride : 1;
  Vector sums[rows][vectors];
  const float* a = m.a + row * row_step;
  const float* b = m.b + column;
  float* c = m.c + row * m.c_stride + column;
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) {
      sums[r][v] = form == Form::values ? hn::LoadU(f, c + r * m.c_stride + v * lanes) : hn::Zero(f);
    }
  }
  for (std::size_t k = 0; k < m.inner; ++k) {
    Vector line[vectors];
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) line[v] = hn::LoadU(f, b + k * m.b_stride + v * lanes);
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      const Vector factor = hn::Set(f, a[r * row_step + k * k_step]);
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = hn::MulAdd(factor, line[v], sums[r][v]);
    }
  }
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) hn::StoreU(sums[r][v], f, c + r * m.c_stride + v * lanes);
  }
}

template <Form form, std::size_t rows>
HWY_NOINLINE void multiply_rows(const Multiply& m, std::size_t row) {
  std::size_t column = 0;
  for (; column + tile_vectors * lanes <= m.columns; column += tile_vectors * lanes) {
    multiply_tile<form, rows, tile_vectors>(m, row, column);
  }
  const std::size_t left = (m.columns - column) / lanes;
  if constexpr (tile_vectors > 2) {
    if (left == 3) return multiply_tile<form, rows, 3>(m, row, column);
    if (left == 2) return multiply_tile<form, rows, 2>(m, row, column);
  }
  if (left == 1) multiply_tile<form, rows, 1>(m, row, column);
}

/// Up to tile_rows rows.
template <Form form>
HWY_INLINE void multiply_strip(const Multiply& m) {
  switch (m.rows) {
    case 6: return multiply_rows<form, 6>(m, 0);
    case 5: return multiply_rows<form, 5>(m, 0);
    case 4: return multiply_rows<form, 4>(m, 0);
    case 3: return multiply_rows<form, 3>(m, 0);
    case 2: return multiply_rows<form, 2>(m, 0);
    default: return multiply_rows<form, 1>(m, 0);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
