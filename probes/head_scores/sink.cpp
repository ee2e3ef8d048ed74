#include "probes/head_score.h"

// A[i, 0], the weight on the first token, averaged over the rows i >= 1 (row 0 of a causal head sees nothing else).

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) {
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    if (band.first_row + r == 0) continue;
    sum.total += band.weights(r, 0);
    sum.count += 1.0;
  }
}

}  // namespace

const HeadScore& head_score_sink() {
  static const HeadScore score{"sink", "mean weight on the first token (attention sink)",
                               "Xiao et al. 2023, arXiv:2309.17453", "share", accumulate, false};
  return score;
}

}  // namespace vitrine
