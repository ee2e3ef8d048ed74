#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/base/linear_algebra.h"

// How alike two sets of representations of the same rows are.

namespace vitrine {

/// A Gram matrix x x^T as if the rows were less their mean.  [rows, rows]
Matrix centered(Matrix gram);
/// A Gram matrix with a diagonal of 0, centred so that products of two are free of bias (Székely & Rizzo 2014, eq. 3.2); at least 4 rows.
Matrix corrected(Matrix gram);
/// <a, b> / (|a| |b|): linear CKA of two centred Grams (Kornblith et al. 2019, eq. 2), its form for few rows of two corrected ones (HSIC_1 of Song et al. 2012).
double alignment(const Matrix& a, const Matrix& b);

/// Left singular vectors that hold `share` of the variance of rows less their mean.  [rows, kept]
Matrix leading_directions(const Matrix& x, double share);
/// Mean canonical correlation of two such sets (SVCCA, Raghu et al. 2017).
double mean_correlation(const Matrix& a, const Matrix& b);

}  // namespace vitrine
