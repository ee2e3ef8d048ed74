#pragma once

#include <cstddef>
#include <vector>

#include "probes/attribution/attribution.h"

namespace vitrine {

/// Of each token the sum over its embedding of (x - b) * the integral over a from 0 to 1 of d f / d x at b + a (x - b).
struct PathIntegral {
  std::vector<double> scores;       ///< [tokens]
  std::vector<double> doubts;       ///< [tokens] how far a score may move with more gradients; empty: unknown
  double value = 0.0, baseline = 0.0;  ///< f at x and at b
  std::size_t gradients = 0;        ///< places that f was differentiated at
  double by_secants = 0.0;          ///< share of the way, on a scale of logarithms, that secants stand for
};

/// Gauss and Legendre's rule with so many points over the whole way.
PathIntegral integrate_by_rule(const EmbeddedText& text, const Numbers& baseline, std::size_t points);

struct IntegralGoal {
  double missing;              ///< share of |f(x) - f(b)| that all pieces together may miss
  std::size_t most_gradients;
  bool secants;                ///< whether f has secants between two versions (EmbeddedText::multipliers)
};
/// Cuts the way into pieces until Gauss and Legendre's rule gives the difference of f that each piece must: what scores add up to is
/// known, from f at the ends of every piece. It is the sum of |misses| over pieces that must be within the goal, so that they do not hide
/// each other. That says nothing of single tokens, whose misses cancel: their doubts are the differences to a rule of six of the same points,
/// or, where secants stand, to the integral that they replace. Pieces that `most_gradients` do not bring there are shared out by secants between their ends, which add up.
PathIntegral integrate_to(const EmbeddedText& text, const Numbers& baseline, const IntegralGoal& goal);

}  // namespace vitrine
