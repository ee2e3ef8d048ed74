#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "core/base/linear_algebra.h"
#include "core/model/model_runner.h"

namespace vitrine {

/// What the rows that a matrix multiplied were like, over all rows of a calibration text.
struct InputStatistics {
  std::size_t rows = 0;
  std::vector<double> square_sums;     ///< [cols] of every column's numbers
  std::vector<double> magnitude_sums;  ///< [cols]
  Matrix gram;                         ///< [cols, cols] X^T X; empty where nobody asked for it
};

enum class Statistics { columns, gram };

/// Runs texts through a model and looks at what goes into each wanted matrix, whatever the architecture: it stands before the products.
/// Matrices that share their input share their statistics. @param runner  of exact precision
/// @returns of each wanted matrix that was multiplied; an expert that no row took has no entry
std::map<WeightKey, std::shared_ptr<const InputStatistics>> input_statistics(const ModelRunner& runner, std::span<const ModelText> texts,
                                                                             const std::set<WeightKey>& wanted, Statistics statistics);

}  // namespace vitrine
