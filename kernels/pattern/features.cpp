#include "kernels/pattern/features.h"

#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "kernels/pattern/random.h"

namespace vitrine {
namespace {

/// The standard library's distributions differ between implementations.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  double normal() {  // Box and Muller 1958
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  std::uint64_t next() { return scrambled(state_ += scramble_step); }
  std::uint64_t state_;
};

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

void scale_to(std::span<float> x, double length) {
  const double now = std::sqrt(dot(x, x));
  for (float& number : x) number = static_cast<float>(number * (length / now));
}

}  // namespace

std::size_t feature_count(const PatternRule& rule, std::size_t head_dim) {
  return rule.feature == FeatureKind::favor ? rule.features : head_dim;
}

std::size_t direction_numbers(const PatternRule& rule, std::size_t head_dim) {
  return rule.feature == FeatureKind::favor ? rule.features * head_dim : 0;
}

void make_directions(const PatternRule& rule, std::size_t head_dim, std::span<float> directions) {
  VITRINE_CHECK(directions.size() == direction_numbers(rule, head_dim));
  Random random(rule.seed);
  const auto row = [&](std::size_t m) { return directions.subspan(m * head_dim, head_dim); };
  for (std::size_t m = 0; m < rule.features; ++m) {
    for (float& number : row(m)) number = static_cast<float>(random.normal());
    const double length = std::sqrt(dot(row(m), row(m)));
    for (int round = 0; round < 2; ++round) {  // twice is enough (Gram and Schmidt)
      for (std::size_t before = m / head_dim * head_dim; before < m; ++before) {
        const double along = dot(row(m), row(before)) / dot(row(before), row(before));
        for (std::size_t d = 0; d < head_dim; ++d) row(m)[d] -= static_cast<float>(along * row(before)[d]);
      }
    }
    scale_to(row(m), length);
  }
}

void features_of(const FeatureInput& input, std::span<const float> x, float* out) {
  if (input.rule.feature == FeatureKind::elu_plus_one) {
    for (std::size_t d = 0; d < x.size(); ++d) out[d] = x[d] > 0.0f ? x[d] + 1.0f : std::exp(x[d]);
    return;
  }
  const double root = std::sqrt(static_cast<double>(input.scale)), half = 0.5 * input.scale * dot(x, x);
  const double share = -0.5 * std::log(static_cast<double>(input.rule.features));
  for (std::size_t m = 0; m < input.rule.features; ++m) {
    out[m] = static_cast<float>(std::exp(root * dot(x, input.directions.subspan(m * x.size(), x.size())) - half + share));
  }
}

}  // namespace vitrine
