#include "core/base/linear_algebra.h"

#include <Eigen/Dense>

#include "core/base/error.h"

namespace vitrine {
namespace {

template <typename Number>
using Rows = Eigen::Matrix<Number, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <typename Number>
Eigen::Map<const Rows<Number>> look(const MatrixOf<Number>& a) {
  return {a.numbers.data(), static_cast<Eigen::Index>(a.rows), static_cast<Eigen::Index>(a.columns)};
}

template <typename Number>
Eigen::Map<Rows<Number>> look(MatrixOf<Number>& a) {
  return {a.numbers.data(), static_cast<Eigen::Index>(a.rows), static_cast<Eigen::Index>(a.columns)};
}

Matrix owned(const Rows<double>& a) {
  Matrix result(static_cast<std::size_t>(a.rows()), static_cast<std::size_t>(a.cols()));
  look(result) = a;
  return result;
}

template <typename Number>
MatrixOf<Number> multiply(const MatrixOf<Number>& a, const MatrixOf<Number>& b) {
  VITRINE_CHECK(a.columns == b.rows);
  MatrixOf<Number> out(a.rows, b.columns);
  look(out).noalias() = look(a) * look(b);
  return out;
}

template <typename Number>
MatrixOf<Number> multiply_transposed(const MatrixOf<Number>& a, const MatrixOf<Number>& b) {
  VITRINE_CHECK(a.rows == b.rows);
  MatrixOf<Number> out(a.columns, b.columns);
  look(out).noalias() = look(a).transpose() * look(b);
  return out;
}

template <typename Number>
MatrixOf<Number> multiply_with_transposed(const MatrixOf<Number>& a, const MatrixOf<Number>& b) {
  VITRINE_CHECK(a.columns == b.columns);
  MatrixOf<Number> out(a.rows, b.rows);
  look(out).noalias() = look(a) * look(b).transpose();
  return out;
}

}  // namespace

Matrix product(const Matrix& a, const Matrix& b) { return multiply(a, b); }
FloatMatrix product(const FloatMatrix& a, const FloatMatrix& b) { return multiply(a, b); }
Matrix product_of_transposed(const Matrix& a, const Matrix& b) { return multiply_transposed(a, b); }
FloatMatrix product_of_transposed(const FloatMatrix& a, const FloatMatrix& b) { return multiply_transposed(a, b); }
Matrix product_with_transposed(const Matrix& a, const Matrix& b) { return multiply_with_transposed(a, b); }
FloatMatrix product_with_transposed(const FloatMatrix& a, const FloatMatrix& b) { return multiply_with_transposed(a, b); }

std::vector<std::complex<double>> eigenvalues(const Matrix& a) {
  VITRINE_CHECK(a.rows == a.columns);
  const Eigen::VectorXcd values = Eigen::EigenSolver<Eigen::MatrixXd>(look(a), false).eigenvalues();
  return {values.begin(), values.end()};
}

SymmetricEigen symmetric_eigen(const Matrix& a) {
  VITRINE_CHECK(a.rows == a.columns);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(look(a));
  return {{solver.eigenvalues().begin(), solver.eigenvalues().end()}, owned(solver.eigenvectors())};
}

std::vector<double> singular_values(const Matrix& a) {
  const Eigen::VectorXd values = Eigen::BDCSVD<Eigen::MatrixXd>(look(a)).singularValues();
  return {values.begin(), values.end()};
}

std::optional<Matrix> solve_positive(const Matrix& a, const Matrix& b) {
  VITRINE_CHECK(a.rows == a.columns && a.rows == b.rows);
  const Eigen::LLT<Eigen::MatrixXd> factor(look(a));
  if (factor.info() != Eigen::Success) return std::nullopt;
  return owned(factor.solve(look(b)));
}

std::optional<Matrix> cholesky(const Matrix& a) {
  VITRINE_CHECK(a.rows == a.columns);
  const Eigen::LLT<Eigen::MatrixXd> factor(look(a));
  if (factor.info() != Eigen::Success) return std::nullopt;
  return owned(Rows<double>(factor.matrixL()));
}

/// Back to front a is M M^T with M lower, so that a = N N^T with N upper, and N^-1 is the wanted triangle.
std::optional<Matrix> inverse_factor(const Matrix& a) {
  VITRINE_CHECK(a.rows == a.columns);
  const Eigen::LLT<Eigen::MatrixXd> factor(look(a).reverse());
  if (factor.info() != Eigen::Success) return std::nullopt;
  const Eigen::MatrixXd upper = Eigen::MatrixXd(factor.matrixL()).reverse();
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(upper.rows(), upper.cols());
  upper.triangularView<Eigen::Upper>().solveInPlace(inverse);
  return owned(inverse);
}

Matrix solve_behind_lower(const Matrix& lower, const Matrix& b) {
  VITRINE_CHECK(lower.rows == lower.columns && b.columns == lower.rows);
  Eigen::MatrixXd transposed = look(b).transpose();
  Eigen::MatrixXd(look(lower)).transpose().triangularView<Eigen::Upper>().solveInPlace(transposed);
  return owned(transposed.transpose());
}

}  // namespace vitrine
