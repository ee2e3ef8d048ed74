#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/tensor_view.h"

namespace vitrine {

/// Values of many hypotheses (heads) on the same items, whose clusters may depend on each other within.
struct HypothesisValues {
  TensorView<const double, 2> values;    ///< [items, hypotheses]
  std::span<const std::size_t> cluster;  ///< [items], or empty: every item alone
};

struct StepDown {
  std::vector<double> statistic;  ///< [hypotheses] |sum of cluster sums| / sqrt(sum of their squares)
  std::vector<double> p;          ///< [hypotheses] adjusted: the chance of any smaller one in the family is at most itself
  std::size_t flips = 0;          ///< sign flips that were looked at
  bool all_flips = false;         ///< every one there is, else random ones and the observed
};

/// Step-down max-T for means of 0 (Westfall & Young 1993, algorithm 4.1): whole clusters change their signs, all hypotheses together, so
/// that their dependence stays. All flips where there are at most `most_flips`, else so many random ones. The statistic is monotone
/// in the t of cluster sums, and its denominator does not change under a flip. A hypothesis that is 0 everywhere has p 1.
StepDown step_down_max_t(const HypothesisValues& of, std::size_t most_flips, std::uint64_t seed);

struct SplitHalf {
  double correlation = 0.0;  ///< Pearson over hypotheses of the means of two halves, mean over the splits
  double corrected = 0.0;    ///< of the whole set: 2 r / (1 + r) (Spearman 1910, Brown 1910)
  std::size_t splits = 0;    ///< that were defined: a half without variation has none
};

/// Reliability of a profile over hypotheses: `splits` random halves of the clusters. NaN where none is defined.
SplitHalf split_half(const HypothesisValues& of, std::size_t splits, std::uint64_t seed);

/// Pearson's correlation; NaN where one side does not vary.
double correlation(std::span<const double> a, std::span<const double> b);

/// The value below which `share` of the values lie, linear between order statistics (Hyndman & Fan 1996, type 7).
double quantile(std::vector<double> values, double share);

/// Chance that one of the `chosen` has a larger value than one of the others, ties half: the area under the ROC curve (Mann & Whitney
/// 1947). NaN where one group is empty.
double area_under_curve(std::span<const double> values, const std::vector<bool>& chosen);

}  // namespace vitrine
