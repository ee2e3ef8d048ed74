#include <cmath>

#include "core/shortcuts/sparsity.h"

namespace vitrine {
namespace {

/// Scores |W_ij| ||X_j||, compared within each row (equation 1 of the paper), block after block through the pruned ones.
void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const Sparsity sparsity = sparsity_of(call, model);
  change_matrices(model, bench, spelled(sparsity), [&](const WeightKey&, Tensor& numbers, const SharedStatistics& statistics) {
    const std::span<const float> all = numbers.floats();
    const std::size_t cols = numbers.shape()[1];
    std::vector<double> norms(cols), scores(all.size());
    for (std::size_t c = 0; c < cols; ++c) norms[c] = std::sqrt(statistics->square_sums[c]);
    for (std::size_t i = 0; i < all.size(); ++i) scores[i] = std::abs(static_cast<double>(all[i])) * norms[i % cols];
    zero_lowest(numbers, scores, sparsity, MaskScope::row);
  }, report);
}

std::size_t least_tokens(const ShortcutCall&, const Model&) { return 32; }

}  // namespace

const Shortcut& shortcut_wanda() {
  static const Shortcut shortcut{"wanda", "zeros where |weight| x ||input|| is smallest in a row", "Sun et al. 2023, arXiv:2306.11695", "wanda:sparsity=0.5",
                                 {sparsity_option, pattern_option}, least_tokens, check_sparsity, apply, random_mask_like};
  return shortcut;
}

}  // namespace vitrine
