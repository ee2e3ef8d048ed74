#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/sparse_rows.h"

// Products of few rows straight from sparse weights, whose numbers VBMI2 spreads over their columns in one instruction. Compiled by
// attributes; may be called where has_vbmi2() says so. The sums of f32 products run in the order of kernels/ops/dense.cpp on AVX-512.

namespace vitrine {

bool has_vbmi2();

struct SparseProduct {
  const float* x;  ///< row r at x + r * x_stride, padded with zeros to a whole group
  std::size_t x_stride, rows;
  const SparseRows* weights;
  std::size_t first, count;  ///< rows of the weights: columns of out
  const float* bias;         ///< [count] or null
  float* out;
  std::size_t out_stride;
};
void multiply_sparse_vbmi2(const SparseProduct& product);

struct SparseInt16Product {
  const std::int16_t* x;  ///< one row
  const float* scales;    ///< [groups] of x
  const SparseRows* weights;  ///< of Q8_0
  std::size_t first, count;
  const float* bias;
  float* out;
};
void multiply_sparse_int16_vbmi2(const SparseInt16Product& product);

}  // namespace vitrine
