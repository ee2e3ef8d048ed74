#pragma once

#include <span>
#include <vector>

#include "core/base/linear_algebra.h"

// Linear models of activations: what probes are made of.

namespace vitrine {

/// y = x . weights + intercept; of a logistic model the log-odds of 1.
struct LinearModel {
  std::vector<double> weights;  ///< [width]
  double intercept = 0.0;

  double at(std::span<const double> x) const;
};

/// Least of sum_i (y_i - w . x_i - b)^2 + penalty |w|^2, as sklearn's Ridge(alpha=penalty).
/// @param x  [rows, width]  @param penalty  > 0
LinearModel fit_ridge(const Matrix& x, std::span<const double> y, double penalty);

/// Least of sum_i ln(1 + exp(-s_i (w . x_i + b))) + penalty / 2 |w|^2 with s_i = 1 for y_i = 1 and -1 for 0, as sklearn's
/// LogisticRegression(C=1/penalty), by L-BFGS (Liu & Nocedal 1989) to a gradient below 1e-7 of the rows.
/// @param start  where to begin: a model of another penalty, or one of zeros
LinearModel fit_logistic(const Matrix& x, std::span<const double> y, double penalty, LinearModel start = {});

}  // namespace vitrine
