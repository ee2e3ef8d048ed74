#pragma once

#include <functional>
#include <vector>

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// Rounds numbers [rows, cols] f32 to what will be stored: blocks, or numbers on a grid. @param importance  [cols]
using Rounder = std::function<Tensor(const Tensor& numbers, std::span<const float> importance)>;

/// What can take the inverse of the scales that the columns of matrices are multiplied by, so that the model computes the same.
struct ScaleCarrier {
  std::vector<WeightKey> norms;     ///< weight and bias of the norm whose rows the matrices multiply
  std::optional<WeightKey> matrix;  ///< or the matrix whose output they multiply (its rows, and its bias)
  bool empty() const { return norms.empty() && !matrix; }
};

/// Matrices that multiply the same rows.
struct ScaledGroup {
  std::vector<WeightKey> matrices;
  ScaleCarrier carrier;  ///< empty: nothing can take the scales exactly
};

/// The groups of one block: q, k, v; output; gate and up; down. Experts and cross attention are left out.
std::vector<ScaledGroup> scaled_groups(const Model& model, std::span<const WeightKey> keys);

/// [cols] The scales s = m^a, m the mean size of each column's input, a from 0 (all 1) to 0.95, under which the rounded matrices W' = Q(W s) / s
/// err least on the rows that statistics are of (Lin et al. 2023, arXiv:2306.00978). Judged by at most 64 rows of each matrix.
/// @param matrices  [rows, cols] each
std::vector<float> search_scales(std::span<const Tensor* const> matrices, const InputStatistics& statistics, const Rounder& rounder, ThreadPool& pool);

void multiply_columns(Tensor& matrix, std::span<const float> scales);
void divide_columns(Tensor& matrix, std::span<const float> scales);
void divide_rows(Tensor& matrix, std::span<const float> scales);

}  // namespace vitrine
