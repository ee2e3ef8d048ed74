#include "core/train/differences.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace vitrine {
namespace {

constexpr double gelu_root = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double gelu_cubic = 0.044715;

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double derivative(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu_erf: {
      const double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
      return std::erfc(-x / std::numbers::sqrt2) / 2 + x * density;
    }
    case Activation::gelu_tanh: {
      const double s = logistic(2 * gelu_root * (x + gelu_cubic * x * x * x));
      return s + x * s * (1 - s) * 2 * gelu_root * (1 + 3 * gelu_cubic * x * x);
    }
    case Activation::silu: {
      const double s = logistic(x);
      return s + x * s * (1 - s);
    }
    case Activation::relu: return x > 0 ? 1.0 : 0.0;
    case Activation::tanh: return 1 - std::tanh(x) * std::tanh(x);
  }
  return 0.0;
}

/// (f(x) - f(other)) / (x - other); where they are too near for it, the derivative between them.
template <class Value, class Slope>
double secant(double x, double other, const Value& value, const Slope& slope) {
  if (std::abs(x - other) > 1e-5 * (1 + std::abs(x))) return (value(x) - value(other)) / (x - other);
  return slope((x + other) / 2);
}

}  // namespace

double activation_value(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu_erf: return x * std::erfc(-x / std::numbers::sqrt2) / 2;
    case Activation::gelu_tanh: return x * logistic(2 * gelu_root * (x + gelu_cubic * x * x * x));
    case Activation::silu: return x * logistic(x);
    case Activation::relu: return std::max(x, 0.0);
    case Activation::tanh: return std::tanh(x);
  }
  return 0.0;
}

double activation_slope(Activation activation, double x, double other) {
  return secant(x, other, [&](double at) { return activation_value(activation, at); }, [&](double at) { return derivative(activation, at); });
}

double soft_cap_slope(double cap, double x, double other) {
  return secant(x / cap, other / cap, [](double at) { return std::tanh(at); }, [](double at) { return 1 - std::tanh(at) * std::tanh(at); });
}

namespace {

/// The row less its mean for a layer norm; its mean square and epsilon.
struct Centred {
  std::vector<double> numbers;
  double variance = 0.0;

  Centred(const NormDifference& norm, std::span<const float> x) : numbers(x.begin(), x.end()) {
    const auto width = static_cast<double>(x.size());
    double mean = 0.0;
    for (const double number : numbers) mean += norm.kind == NormKind::layer ? number / width : 0.0;
    for (double& number : numbers) {
      number -= mean;
      variance += number * number / width;
    }
    variance += norm.epsilon;
  }
};

}  // namespace

void pull_norm(const NormDifference& norm, std::span<const double> flow, std::span<float> out) {
  const Centred a(norm, norm.x), b(norm, norm.other);
  const std::size_t width = norm.x.size();
  const double root_a = std::sqrt(a.variance), root_b = std::sqrt(b.variance), share = a.variance / (a.variance + b.variance);
  const double scale = share / root_a + (1 - share) / root_b;
  double along = 0.0;  // what flows into r
  for (std::size_t i = 0; i < width; ++i) along += flow[i] * ((1 - share) * a.numbers[i] + share * b.numbers[i]);
  const double into_variance = -along / (root_a * root_b * (root_a + root_b));
  std::vector<double> centred(width);
  double mean = 0.0;
  for (std::size_t i = 0; i < width; ++i) {
    centred[i] = flow[i] * scale + into_variance * (a.numbers[i] + b.numbers[i]) / static_cast<double>(width);
    mean += norm.kind == NormKind::layer ? centred[i] / static_cast<double>(width) : 0.0;
  }
  for (std::size_t i = 0; i < width; ++i) out[i] += static_cast<float>(centred[i] - mean);
}

namespace {

std::vector<double> log_softmax(std::span<const float> x) {
  const double top = *std::ranges::max_element(x);
  double sum = 0.0;
  for (const float number : x) sum += std::exp(number - top);
  std::vector<double> logs;
  for (const float number : x) logs.push_back(number - top - std::log(sum));
  return logs;
}

}  // namespace

void pull_softmax(std::span<const float> x, std::span<const float> other, std::span<const float> flow, std::span<float> out) {
  const std::vector<double> a = log_softmax(x), b = log_softmax(other);
  std::vector<double> weights;
  double sum = 0.0, flowing = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    weights.push_back(logarithmic_mean(a[i], b[i]));
    sum += weights.back();
    flowing += weights.back() * flow[i];
  }
  for (std::size_t i = 0; i < x.size(); ++i) out[i] += static_cast<float>(weights[i] * (flow[i] - flowing / sum));
}

}  // namespace vitrine
