#include "probes/head_score.h"

// A[i, j], where j is the latest earlier position with the same token, averaged over the positions i that have one.
// Undefined on a text without repeated tokens.

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) { add_weights_at_copies(band, 0, sum); }

}  // namespace

const HeadScore& head_score_duplicate_token() {
  static const HeadScore score{"duplicate_token", "mean weight on the latest earlier copy of the token",
                               "Wang et al. 2022, arXiv:2211.00593", "share", accumulate};
  return score;
}

}  // namespace vitrine
