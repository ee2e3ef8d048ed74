#include "core/shortcuts/gptq_rounding.h"
#include "core/shortcuts/rounded.h"

namespace vitrine {
namespace {

/// Kept in f32 or f16, so that only the rounding is different.
void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const GridRule rule = grid_rule(call);
  const std::vector<WeightKey> keys = block_matrices(model);
  require_runs(model, keys, rule);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Tensor numbers = expand(model.weights.at(keys[i]));
    put_numbers(model, keys[i], tensor_of(nearest_round(numbers, {}, rule, bench.ops.pool()), rule, numbers.shape().back()), rule.name, report);
    bench.run.step("rtn", i + 1, keys.size());
  }
}

}  // namespace

const Shortcut& shortcut_rtn() {
  static const Shortcut shortcut{"rtn", "every number to the nearest of a grid, in memory", "the baseline of Frantar et al. 2022, arXiv:2210.17323", "rtn:bits=4,group=128",
                                 grid_options("", "0"), nullptr, apply};
  return shortcut;
}

}  // namespace vitrine
