#include "probes/head_score.h"

// A[i, i - 1], averaged over the rows i >= 1.

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) {
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    const std::size_t i = band.first_row + r;
    if (i == 0) continue;
    sum.total += band.weights(r, i - 1);
    sum.count += 1.0;
  }
}

}  // namespace

const HeadScore& head_score_previous_token() {
  static const HeadScore score{"previous_token", "mean weight on the previous token",
                               "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits", "share", accumulate};
  return score;
}

}  // namespace vitrine
