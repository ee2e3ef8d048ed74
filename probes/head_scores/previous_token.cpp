#include "probes/head_score.h"

// A[i, i - 1], averaged over the rows i >= 1.

namespace vitrine {
namespace {

std::optional<std::size_t> key(std::size_t row, std::span<const std::optional<std::size_t>>) {
  return row == 0 ? std::nullopt : std::optional(row - 1);
}

}  // namespace

const HeadScore& head_score_previous_token() {
  static const HeadScore score{.name = "previous_token",
                               .summary = "mean weight on the previous token",
                               .source = "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
                               .unit = "share",
                               .key = key};
  return score;
}

}  // namespace vitrine
