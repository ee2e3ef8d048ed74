#pragma once

#include <optional>

#include "core/base/linear_algebra.h"

// Triangular factors of symmetric positive definite matrices (Eigen's, which this header hides).

namespace vitrine {

/// The lower triangle L of a = L L^T; none where a is not positive definite.
std::optional<Matrix> cholesky(const Matrix& a);

/// The upper triangle U of a^-1 = U^T U; none where a is not positive definite.
std::optional<Matrix> inverse_factor(const Matrix& a);

/// x of x L = b, where L is a lower triangle.
Matrix solve_behind_lower(const Matrix& lower, const Matrix& b);

}  // namespace vitrine
