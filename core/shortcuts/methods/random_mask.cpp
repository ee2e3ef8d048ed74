#include <random>

#include "core/shortcuts/sparsity.h"

namespace vitrine {
namespace {

/// What a choice of numbers has to beat: the same sparsity, chosen by the seed.
void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const Sparsity sparsity = sparsity_of(call, model);
  std::mt19937_64 random(bench.seed);
  change_matrices(model, bench, spelled(sparsity) + " at random", [&](const WeightKey&, Tensor& numbers, const SharedStatistics&) {
    std::vector<double> scores(numbers.size());
    for (double& score : scores) score = static_cast<double>(random());
    zero_lowest(numbers, scores, sparsity, MaskScope::matrix);
  }, report);
}

}  // namespace

const Shortcut& shortcut_random_mask() {
  static const Shortcut shortcut{"random_mask", "zeros in place of numbers chosen by the seed: the control of other masks", "", "random_mask:sparsity=0.5",
                                 {sparsity_option, pattern_option}, nullptr, check_sparsity, apply};
  return shortcut;
}

}  // namespace vitrine
