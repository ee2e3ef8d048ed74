#include <numeric>

#include "core/shortcuts/layers.h"
#include "core/shortcuts/random_choice.h"

namespace vitrine {
namespace {

void check(const Model& model, const ShortcutCall& call, std::size_t) { blocks_wanted(call, model); }

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  std::vector<std::size_t> layers(model.spec.blocks.size());
  std::iota(layers.begin(), layers.end(), std::size_t{0});
  remove_blocks(model, drawn(std::move(layers), blocks_wanted(call, model), bench.seed), report);
}

}  // namespace

const Shortcut& shortcut_random_layers() {
  static const Shortcut shortcut{"random_layers", "takes out blocks chosen by the seed: the control of drop_layers", "", "random_layers:count=2",
                                 {{"count", "so many blocks", ""}}, nullptr, check, apply};
  return shortcut;
}

}  // namespace vitrine
