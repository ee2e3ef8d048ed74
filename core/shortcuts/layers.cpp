#include "core/shortcuts/layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {

void remove_blocks(Model& model, std::span<const std::size_t> dropped, ShortcutReport& report) {
  std::vector<int> places(model.spec.blocks.size());  // [blocks] where each goes; -1: nowhere
  std::vector<BlockSpec> kept;
  std::string names;
  for (std::size_t block = 0; block < places.size(); ++block) {
    const bool goes = std::ranges::find(dropped, block) != dropped.end();
    places[block] = goes ? -1 : static_cast<int>(kept.size());
    if (goes) names += " " + std::to_string(block);
    if (!goes) kept.push_back(model.spec.blocks[block]);
  }
  VITRINE_CHECK(!kept.empty());
  WeightStore weights;
  for (const auto& [key, weight] : model.weights.all()) {
    WeightKey moved = key;
    if (key.stack == model.spec.stack && key.block >= 0) {
      moved.block = places[static_cast<std::size_t>(key.block)];
      if (moved.block < 0) {
        report.matrices.push_back({matrix_name(key) + (key.bias ? " bias" : ""), "gone", stored_bytes(weight), 0, 1.0, {}});
        continue;
      }
    }
    weights.put(moved, weight);
  }
  model.weights = std::move(weights);
  model.spec.blocks = std::move(kept);
  report.notes.push_back("blocks gone:" + names);
}

std::size_t blocks_wanted(const ShortcutCall& call, const Model& model) { return call.whole("count", 0, model.spec.blocks.size() - 1); }

}  // namespace vitrine
