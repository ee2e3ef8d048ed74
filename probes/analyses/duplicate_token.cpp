#include "probes/analysis.h"

// A[i, j], where j is the latest earlier position with the same token, averaged over the positions i that have one.
// Undefined on a text without repeated tokens.

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) {
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    const auto& earlier = band.earlier[band.first_row + r];
    if (!earlier) continue;
    sum.total += band.weights(r, *earlier);
    sum.count += 1.0;
  }
}

}  // namespace

const HeadScore& head_score_duplicate_token() {
  static const HeadScore score{"duplicate_token", "mean weight on the latest earlier copy of the token",
                               "Wang et al. 2022, arXiv:2211.00593", "share", accumulate};
  return score;
}

}  // namespace vitrine
