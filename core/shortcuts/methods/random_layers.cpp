#include <algorithm>
#include <numeric>
#include <random>

#include "core/shortcuts/layers.h"

namespace vitrine {
namespace {

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  std::vector<std::size_t> layers(model.spec.blocks.size());
  std::iota(layers.begin(), layers.end(), std::size_t{0});
  std::mt19937_64 random(bench.seed);
  const std::size_t wanted = blocks_wanted(call, model);
  for (std::size_t i = 0; i < wanted; ++i) std::swap(layers[i], layers[i + random() % (layers.size() - i)]);
  layers.resize(wanted);
  remove_blocks(model, layers, report);
}

}  // namespace

const Shortcut& shortcut_random_layers() {
  static const Shortcut shortcut{"random_layers", "takes out blocks chosen by the seed: the control of drop_layers", "", "random_layers:count=2",
                                 {{"count", "so many blocks", ""}}, nullptr, apply};
  return shortcut;
}

}  // namespace vitrine
