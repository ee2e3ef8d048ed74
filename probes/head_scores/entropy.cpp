#include <cmath>

#include "probes/head_score.h"

// H(i) = -sum_j A[i, j] ln A[i, j], in nats, averaged over all rows; 0 ln 0 = 0. A row without any visible key counts
// as 0. The recorder stores the same number per row, accumulated inside the kernel.

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) {
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    double entropy = 0.0;
    for (std::size_t j = 0; j < band.weights.extent(1); ++j) {
      const double weight = band.weights(r, j);
      if (!(weight <= 0.0)) entropy -= weight * std::log(weight);
    }
    sum.total += entropy;
    sum.count += 1.0;
  }
}

}  // namespace

const HeadScore& head_score_entropy() {
  static const HeadScore score{.name = "entropy",
                               .summary = "mean entropy of the rows",
                               .source = "Shannon 1948; per head in Clark et al. 2019, arXiv:1906.04341",
                               .unit = "nats",
                               .accumulate = accumulate, .within_text = false, .row_statistic = "entropy"};
  return score;
}

}  // namespace vitrine
