#pragma once

#include "core/base/linear_algebra.h"
#include "core/shortcuts/grid.h"

namespace vitrine {

/// GPTQ's choices.
struct GptqOptions {
  double damping = 0.01;  ///< times the mean of the diagonal, added to it
  bool ordered = false;   ///< columns of large inputs first; the grids are then those of the numbers as they were
};

/// A matrix on grids.
struct GriddedMatrix {
  std::vector<double> levels;  ///< [rows, cols]
  std::vector<Grid> grids;     ///< [rows, cols / run]
};

/// Rounds the columns of a matrix one after the other and moves each column's error to those that are left, by the inverse of X^T X
/// (Frantar et al. 2022, arXiv:2210.17323). Grids are fitted when their run is entered, to what its numbers then are.
class Gptq {
 public:
  /// Of matrices that multiply the same rows. @param gram  [cols, cols] X^T X
  /// @throws Error where it is not positive definite even when damped
  Gptq(const Matrix& gram, const GptqOptions& options);
  /// @param weights  [rows, cols]; a column that was only ever multiplied by 0 becomes 0
  GriddedMatrix round(const Tensor& weights, const GridRule& rule, ThreadPool& pool) const;

 private:
  class RowTile;
  bool ordered_;
  std::vector<std::size_t> order_;  // [cols]
  std::vector<double> importance_;  // [cols] diagonal of the gram, in the matrix's own order
  Matrix factor_;                   // [cols, cols] upper, in the order of order_
};

/// Every number to the nearest of its grid.
GriddedMatrix nearest_round(const Tensor& weights, std::span<const double> importance, const GridRule& rule, ThreadPool& pool);

/// Every block matrix to the nearest of its grids, kept in f32 or f16.
void round_matrices(Model& model, const GridRule& rule, const ShortcutBench& bench, ShortcutReport& report);

/// [rows, cols] f32 of a matrix on grids, or its blocks.
Tensor tensor_of(const GriddedMatrix& matrix, const GridRule& rule, std::size_t cols);

}  // namespace vitrine
