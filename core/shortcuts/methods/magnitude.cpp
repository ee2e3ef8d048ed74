#include <cmath>

#include "core/shortcuts/sparsity.h"

namespace vitrine {
namespace {

/// Of every matrix alone, as in the baselines of SparseGPT and Wanda. A calibration text changes nothing; it says the output error.
void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const Sparsity sparsity = sparsity_of(call, model);
  change_matrices(model, bench, spelled(sparsity), [&](const WeightKey&, Tensor& numbers, const SharedStatistics&) {
    const std::span<const float> all = numbers.floats();
    std::vector<double> scores(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) scores[i] = std::abs(static_cast<double>(all[i]));
    zero_lowest(numbers, scores, sparsity, MaskScope::matrix);
  }, report);
}

}  // namespace

const Shortcut& shortcut_magnitude() {
  static const Shortcut shortcut{"magnitude", "zeros in place of the smallest numbers of each matrix", "Han et al. 2015, arXiv:1506.02626", "magnitude:sparsity=0.5",
                                 {sparsity_option, pattern_option}, nullptr, check_sparsity, apply, random_mask_like};
  return shortcut;
}

}  // namespace vitrine
