#include "probes/similarity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace vitrine {
namespace {

std::vector<double> row_sums(const Matrix& a) {
  std::vector<double> sums(a.rows);
  for (std::size_t i = 0; i < a.rows; ++i) sums[i] = std::accumulate(&a(i, 0), &a(i, 0) + a.columns, 0.0);
  return sums;
}

double inner(const Matrix& a, const Matrix& b) { return std::inner_product(a.numbers.begin(), a.numbers.end(), b.numbers.begin(), 0.0); }

}  // namespace

Matrix centered(Matrix gram) {
  const std::vector<double> sums = row_sums(gram);
  const auto n = static_cast<double>(gram.rows);
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (std::size_t i = 0; i < gram.rows; ++i) {
    for (std::size_t j = 0; j < gram.columns; ++j) gram(i, j) += total / (n * n) - (sums[i] + sums[j]) / n;
  }
  return gram;
}

Matrix corrected(Matrix gram) {
  VITRINE_CHECK(gram.rows > 3);
  gram = centered(std::move(gram));  // changes no result, but large means would drown it in rounding
  for (std::size_t i = 0; i < gram.rows; ++i) gram(i, i) = 0.0;
  const std::vector<double> sums = row_sums(gram);
  const auto n = static_cast<double>(gram.rows);
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (std::size_t i = 0; i < gram.rows; ++i) {
    for (std::size_t j = 0; j < gram.columns; ++j) {
      gram(i, j) = i == j ? 0.0 : gram(i, j) - (sums[i] + sums[j]) / (n - 2.0) + total / ((n - 1.0) * (n - 2.0));
    }
  }
  return gram;
}

double alignment(const Matrix& a, const Matrix& b) {
  const double scale = std::sqrt(inner(a, a) * inner(b, b));
  return scale > 0.0 ? inner(a, b) / scale : std::nan("");
}

Matrix leading_directions(const Matrix& x, double share) {
  const SymmetricEigen eigen = symmetric_eigen(centered(product_with_transposed(x, x)));  // values are squared singular values of the rows
  const double total =
      std::accumulate(eigen.values.begin(), eigen.values.end(), 0.0, [](double sum, double value) { return sum + std::max(value, 0.0); });
  std::size_t kept = 0;
  for (double held = 0.0; kept < eigen.values.size() && held < share * total; ++kept)
    held += std::max(eigen.values[eigen.values.size() - 1 - kept], 0.0);
  Matrix left(x.rows, kept);
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < kept; ++c) left(r, c) = eigen.vectors(r, x.rows - 1 - c);
  }
  return left;
}

double mean_correlation(const Matrix& a, const Matrix& b) {
  const std::vector<double> correlations = singular_values(product_of_transposed(a, b));
  if (correlations.empty()) return std::nan("");
  double sum = 0.0;
  for (const double correlation : correlations) sum += std::min(correlation, 1.0);
  return sum / static_cast<double>(correlations.size());
}

}  // namespace vitrine
