#pragma once

#include <span>

#include "core/model/spec.h"
#include "core/model/ops.h"
#include "core/train/adjoint_memory.h"

// Multipliers of the plain operations, in double: m(x, x') with m * (x - x') == f(x) - f(x'), which is the derivative where both are
// equal.

namespace vitrine {

double activation_value(Activation activation, double x);
double activation_slope(Activation activation, double x, double other);
/// Of cap * tanh(x / cap).
double soft_cap_slope(double cap, double x, double other);

/// What flows into a row before its norm, from `flow` behind the denominator and before the weight. With c the row (less its
/// mean for a layer norm), v = mean(c^2) + epsilon and r = v^(-1/2):
///   c r - c' r' = (s r + t r') (c - c') + (t c + s c') (r - r'),  s = v / (v + v'), t = v' / (v + v'),
/// with r by its secant in v and c^2 as a product. By plain means instead, a row near 0 with its huge r would swamp the other.
/// @param x, other, flow, out  [width]; out is added to
struct NormDifference {
  NormKind kind;
  float epsilon;
  std::span<const float> x, other;
};
void pull_norm(const NormDifference& norm, std::span<const double> flow, std::span<float> out);

/// What flows into the logits of a softmax, by its Jacobian at the logarithmic means of both rows' weights (those of one row where
/// both are equal). @param x, other, flow, out  [width]; out is added to
void pull_softmax(std::span<const float> x, std::span<const float> other, std::span<const float> flow, std::span<float> out);

}  // namespace vitrine
