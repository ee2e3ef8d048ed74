#include "probes/head_score.h"

// D(i) = sum_j A[i, j] |i - j|, in tokens, averaged over all rows.

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) {
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    const std::size_t i = band.first_row + r;
    for (std::size_t j = 0; j < band.weights.extent(1); ++j) {
      sum.total += static_cast<double>(band.weights(r, j)) * static_cast<double>(i > j ? i - j : j - i);
    }
    sum.count += 1.0;
  }
}

}  // namespace

const HeadScore& head_score_distance() {
  static const HeadScore score{.name = "distance",
                               .summary = "mean attention distance",
                               .source = "Vig & Belinkov 2019, arXiv:1906.04284",
                               .unit = "tokens",
                               .accumulate = accumulate, .row_statistic = "distance"};
  return score;
}

}  // namespace vitrine
