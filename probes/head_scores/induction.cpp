#include "probes/head_score.h"

// A[i, j + 1], where j is the latest earlier position with the same token as i, averaged over the positions i that have
// one: the token that came after it last time. Undefined on a text without repeated tokens. On repeated random tokens
// this is the induction score of Olsson et al.

namespace vitrine {
namespace {

std::optional<std::size_t> key(std::size_t row, std::span<const std::optional<std::size_t>> earlier) {
  return earlier[row] ? std::optional(*earlier[row] + 1) : std::nullopt;
}

}  // namespace

const HeadScore& head_score_induction() {
  static const HeadScore score{.name = "induction",
                               .summary = "mean weight on what followed the latest earlier copy",
                               .source = "Olsson et al. 2022, arXiv:2209.11895",
                               .unit = "share",
                               .key = key};
  return score;
}

}  // namespace vitrine
