#include "probes/head_score.h"

// A[i, j + 1], where j is the latest earlier position with the same token as i, averaged over the positions i that have
// one: the token that came after it last time. Undefined on a text without repeated tokens. On repeated random tokens
// this is the induction score of Olsson et al.

namespace vitrine {
namespace {

void accumulate(const PatternBand& band, HeadScore::Sum& sum) { add_weights_at_copies(band, 1, sum); }

}  // namespace

const HeadScore& head_score_induction() {
  static const HeadScore score{"induction", "mean weight on what followed the latest earlier copy",
                               "Olsson et al. 2022, arXiv:2209.11895", "share", accumulate};
  return score;
}

}  // namespace vitrine
