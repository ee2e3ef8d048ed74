#include "core/base/factors.h"

#include <Eigen/Dense>

#include "core/base/error.h"

namespace vitrine {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const Rows> look(const Matrix& a) {
  return {a.numbers.data(), static_cast<Eigen::Index>(a.rows), static_cast<Eigen::Index>(a.columns)};
}

Matrix owned(const Rows& a) {
  Matrix result(static_cast<std::size_t>(a.rows()), static_cast<std::size_t>(a.cols()));
  Eigen::Map<Rows>(result.numbers.data(), a.rows(), a.cols()) = a;
  return result;
}

}  // namespace

std::optional<Matrix> cholesky(const Matrix& a) {
  VITRINE_CHECK(a.rows == a.columns);
  const Eigen::LLT<Eigen::MatrixXd> factor(look(a));
  if (factor.info() != Eigen::Success) return std::nullopt;
  return owned(Rows(factor.matrixL()));
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
