#include "probes/head_score.h"

// A[i, j], where j is the latest earlier position with the same token, averaged over the positions i that have one.
// Undefined on a text without repeated tokens.

namespace vitrine {
namespace {

std::optional<std::size_t> key(std::size_t row, std::span<const std::optional<std::size_t>> earlier) { return earlier[row]; }

}  // namespace

const HeadScore& head_score_duplicate_token() {
  static const HeadScore score{.name = "duplicate_token",
                               .summary = "mean weight on the latest earlier copy of the token",
                               .source = "Wang et al. 2022, arXiv:2211.00593",
                               .unit = "share",
                               .key = key};
  return score;
}

}  // namespace vitrine
