#include "probes/linear_model.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t most_steps = 1000, remembered = 10;

double dot(std::span<const double> a, std::span<const double> b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

/// ln(1 + e^z) without overflow.
double softplus(double z) { return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))); }

/// The penalised loss; parameters are weights, then the intercept.
struct LogisticLoss {
  const Matrix& x;
  std::span<const double> y;
  double penalty;

  double operator()(const std::vector<double>& parameters, std::vector<double>& gradient) const {
    const std::span<const double> weights(parameters.data(), x.columns);
    double loss = penalty / 2.0 * dot(weights, weights);
    for (std::size_t c = 0; c < x.columns; ++c) gradient[c] = penalty * weights[c];
    gradient.back() = 0.0;
    for (std::size_t r = 0; r < x.rows; ++r) {
      const double* row = &x(r, 0);
      double sums[4] = {parameters.back(), 0.0, 0.0, 0.0};
      std::size_t c = 0;
      for (; c + 4 <= x.columns; c += 4) {
        for (std::size_t k = 0; k < 4; ++k) sums[k] += row[c + k] * weights[c + k];
      }
      for (; c < x.columns; ++c) sums[0] += row[c] * weights[c];
      const double z = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      loss += softplus(z) - y[r] * z;
      const double off = 1.0 / (1.0 + std::exp(-z)) - y[r];
      for (std::size_t k = 0; k < x.columns; ++k) gradient[k] += off * row[k];
      gradient.back() += off;
    }
    return loss;
  }
};

/// Steps and changes of the gradient that L-BFGS remembers.
struct Memory {
  struct Pair {
    std::vector<double> step, change;
    double curvature;
  };
  std::deque<Pair> pairs;

  void add(std::vector<double> step, std::vector<double> change) {
    const double curvature = dot(step, change);
    if (curvature <= 1e-12 * dot(change, change)) return;
    pairs.push_back({std::move(step), std::move(change), curvature});
    if (pairs.size() > remembered) pairs.pop_front();
  }

  /// Minus the inverse Hessian that is remembered, times the gradient (two loops, Nocedal 1980).
  std::vector<double> direction(std::vector<double> gradient) const {
    std::vector<double> along(pairs.size());
    for (std::size_t i = pairs.size(); i-- > 0;) {
      along[i] = dot(pairs[i].step, gradient) / pairs[i].curvature;
      for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] -= along[i] * pairs[i].change[k];
    }
    const double scale = pairs.empty() ? 1.0 : pairs.back().curvature / dot(pairs.back().change, pairs.back().change);
    for (double& number : gradient) number *= scale;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const double beta = dot(pairs[i].change, gradient) / pairs[i].curvature;
      for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] += (along[i] - beta) * pairs[i].step[k];
    }
    for (double& number : gradient) number = -number;
    return gradient;
  }
};

double largest(std::span<const double> vector) {
  double most = 0.0;
  for (const double number : vector) most = std::max(most, std::abs(number));
  return most;
}

}  // namespace

double LinearModel::at(std::span<const double> x) const { return dot(weights, x) + intercept; }

LinearModel fit_ridge(const Matrix& x, std::span<const double> y, double penalty) {
  VITRINE_CHECK(x.rows == y.size() && x.rows > 0 && penalty > 0.0);
  const auto n = static_cast<double>(x.rows);
  std::vector<double> means(x.columns, 0.0);
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) means[c] += x(r, c) / n;
  }
  const double y_mean = std::accumulate(y.begin(), y.end(), 0.0) / n;
  Matrix centered = x, target(x.rows, 1);
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) centered(r, c) -= means[c];
    target(r, 0) = y[r] - y_mean;
  }
  Matrix squares = product_of_transposed(centered, centered);
  for (std::size_t c = 0; c < x.columns; ++c) squares(c, c) += penalty;
  const std::optional<Matrix> solved = solve_positive(squares, product_of_transposed(centered, target));
  VITRINE_CHECK(solved.has_value());
  LinearModel model{solved->numbers, y_mean};
  model.intercept -= dot(model.weights, means);
  return model;
}

LinearModel fit_logistic(const Matrix& x, std::span<const double> y, double penalty, LinearModel start) {
  VITRINE_CHECK(x.rows == y.size() && x.rows > 0 && penalty > 0.0);
  const LogisticLoss loss{x, y, penalty};
  std::vector<double> at = std::move(start.weights);
  at.resize(x.columns, 0.0);
  at.push_back(start.intercept);
  std::vector<double> gradient(at.size()), next_gradient(at.size());
  double value = loss(at, gradient);
  Memory memory;
  const double enough = 1e-7 * static_cast<double>(x.rows);
  for (std::size_t step = 0; step < most_steps && largest(gradient) > enough; ++step) {
    const std::vector<double> direction = memory.direction(gradient);
    const double slope = dot(direction, gradient);
    double length = memory.pairs.empty() ? 1.0 / std::max(1.0, largest(gradient)) : 1.0, next_value = value;
    std::vector<double> next = at;
    for (int halving = 0; halving < 60; ++halving, length /= 2.0) {
      for (std::size_t k = 0; k < at.size(); ++k) next[k] = at[k] + length * direction[k];
      next_value = loss(next, next_gradient);
      if (next_value <= value + 1e-4 * length * slope) break;
    }
    if (!(next_value < value)) break;  // as low as doubles reach
    std::vector<double> moved(at.size()), change(at.size());
    for (std::size_t k = 0; k < at.size(); ++k) {
      moved[k] = next[k] - at[k];
      change[k] = next_gradient[k] - gradient[k];
    }
    memory.add(std::move(moved), std::move(change));
    at = std::move(next);
    std::swap(gradient, next_gradient);
    value = next_value;
  }
  LinearModel model{std::move(at), 0.0};
  model.intercept = model.weights.back();
  model.weights.pop_back();
  return model;
}

}  // namespace vitrine
