#include "probes/head_score.h"

// A[i, 0], the weight on the first token, averaged over the rows i >= 1 (row 0 of a causal head sees nothing else).

namespace vitrine {
namespace {

std::optional<std::size_t> key(std::size_t row, std::span<const std::optional<std::size_t>>) {
  return row == 0 ? std::nullopt : std::optional<std::size_t>(0);
}

}  // namespace

const HeadScore& head_score_sink() {
  static const HeadScore score{.name = "sink",
                               .summary = "mean weight on the first token (attention sink)",
                               .source = "Xiao et al. 2023, arXiv:2309.17453",
                               .unit = "share",
                               .key = key, .within_text = false, .row_statistic = "first_key", .first_row = 1};
  return score;
}

}  // namespace vitrine
