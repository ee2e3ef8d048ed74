#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/shortcuts/shortcut.h"

namespace vitrine {
namespace {

/// Of every matrix alone, as in the baselines of SparseGPT and Wanda; of equals the first goes.
void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const double sparsity = call.number("sparsity", 0.0, 1.0);
  const std::vector<WeightKey> keys = block_matrices(model);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    Tensor numbers = expand(model.weights.at(keys[i]));
    const std::span<float> all = numbers.floats();
    std::vector<std::size_t> order(all.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto gone = static_cast<std::ptrdiff_t>(std::llround(sparsity * static_cast<double>(all.size())));
    std::nth_element(order.begin(), order.begin() + gone, order.end(), [&](std::size_t a, std::size_t b) {
      return std::abs(all[a]) != std::abs(all[b]) ? std::abs(all[a]) < std::abs(all[b]) : a < b;
    });
    std::for_each(order.begin(), order.begin() + gone, [&](std::size_t at) { all[at] = 0.0f; });
    put_numbers(model, keys[i], std::move(numbers), call.spelled(), report);
    bench.run.step("magnitude", i + 1, keys.size());
  }
}

}  // namespace

const Shortcut& shortcut_magnitude() {
  static const Shortcut shortcut{"magnitude", "zeros in place of the smallest numbers of each matrix", "Han et al. 2015, arXiv:1506.02626", "magnitude:sparsity=0.5",
                                 {{"sparsity", "share of zeros, 0 to 1", "0.5"}}, nullptr, apply};
  return shortcut;
}

}  // namespace vitrine
