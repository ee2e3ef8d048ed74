#pragma once

#include "core/tensor/sparse_rows.h"
#include "kernels/ops/dense.h"
#include "kernels/ops/int16.h"

namespace vitrine {

/// out[r, c] = sum_k x[r, k] * panel[c, k] (+ bias[c]) in f32, straight from what is there: the sums of multiply_panel() over the expanded
/// rows, in their order, so in all their bits where x is finite.
/// @param panel  with sparse rows @param bias  [panel.count] or null
void multiply_sparse(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out);

/// Whether multiply_sparse_int16 is there: Q8_0 on CPUs with VBMI2.
bool has_sparse_int16(DType type);
/// The same with integer products inside a group, as multiply_panel_int16.
void multiply_sparse_int16(const Int16Rows& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out);

/// Rows of a panel as f32, padded with zeros up to dense_chunk.
void expand_sparse(const WeightPanel& panel, const DenseRows<float>& target);

}  // namespace vitrine
