#pragma once

#include <complex>
#include <cstddef>
#include <optional>
#include <vector>

// Dense linear algebra off the hot path (Eigen's, which this header hides).

namespace vitrine {

/// Owns its numbers, row after row.
template <typename Number>
struct MatrixOf {
  MatrixOf() = default;
  MatrixOf(std::size_t row_count, std::size_t column_count) : rows(row_count), columns(column_count), numbers(row_count * column_count) {}
  Number& operator()(std::size_t r, std::size_t c) { return numbers[r * columns + c]; }
  const Number& operator()(std::size_t r, std::size_t c) const { return numbers[r * columns + c]; }

  std::size_t rows = 0, columns = 0;
  std::vector<Number> numbers;  // [rows, columns]
};
using Matrix = MatrixOf<double>;
using FloatMatrix = MatrixOf<float>;

Matrix product(const Matrix& a, const Matrix& b);  ///< a b
FloatMatrix product(const FloatMatrix& a, const FloatMatrix& b);
Matrix product_of_transposed(const Matrix& a, const Matrix& b);  ///< a^T b
FloatMatrix product_of_transposed(const FloatMatrix& a, const FloatMatrix& b);
Matrix product_with_transposed(const Matrix& a, const Matrix& b);  ///< a b^T
FloatMatrix product_with_transposed(const FloatMatrix& a, const FloatMatrix& b);

/// Of a square matrix, in no order.
std::vector<std::complex<double>> eigenvalues(const Matrix& a);

struct SymmetricEigen {
  std::vector<double> values;  ///< rising
  Matrix vectors;              ///< column i belongs to value i
};
SymmetricEigen symmetric_eigen(const Matrix& a);

/// Of any matrix, largest first.
std::vector<double> singular_values(const Matrix& a);

/// x of a x = b, where a is symmetric and positive definite; none where it is not.
std::optional<Matrix> solve_positive(const Matrix& a, const Matrix& b);

/// The lower triangle L of a = L L^T; none where a is not positive definite.
std::optional<Matrix> cholesky(const Matrix& a);

/// The upper triangle U of a^-1 = U^T U; none where a is not positive definite.
std::optional<Matrix> inverse_factor(const Matrix& a);

/// x of x L = b, where L is a lower triangle.
Matrix solve_behind_lower(const Matrix& lower, const Matrix& b);

}  // namespace vitrine
