#include <optional>

#include "core/shortcuts/gptq_rounding.h"
#include "core/shortcuts/sequential.h"

namespace vitrine {
namespace {

/// As many rows as the widest input of a block has columns: with fewer, only the damping decides in the directions that no row has.
std::size_t least_calibration_tokens(const ShortcutCall&, const Model& model) { return model.spec.width; }

GptqOptions options_of(const ShortcutCall& call) { return {call.number("damping", 1e-6, 10.0), call.flag("ordered")}; }

void check(const Model& model, const ShortcutCall& call, std::size_t) {
  require_divided_matrices(model, block_grid_rule(call));
  options_of(call);
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const GridRule rule = block_grid_rule(call);
  const GptqOptions options = options_of(call);
  const std::set<WeightKey> divided = divided_matrices(model, rule, report.notes);
  change_block_by_block(model, bench, Statistics::gram, [&](std::span<const WeightKey> keys, const StatisticsOf& found) {
    const InputStatistics* last = nullptr;  // q, k and v share theirs
    std::optional<Gptq> gptq;
    for (const WeightKey& key : keys) {
      if (!divided.contains(key)) continue;
      const auto statistics = found.find(key);
      if (statistics == found.end()) {
        report.notes.push_back(matrix_name(key) + " stays as it was: no row of the calibration text was multiplied by it");
        continue;
      }
      if (statistics->second.get() != last) gptq.emplace(statistics->second->gram, options);
      last = statistics->second.get();
      const Tensor before = expand(model.weights.at(key));
      Tensor rounded = tensor_of(gptq->round(before, rule, bench.ops.pool()), rule, before.shape().back());
      const Replacement told{"GPTQ, " + rule.name, before, &last->gram};
      rule.blocks == DType::f32 ? put_numbers(model, key, rounded, told, report) : put_tensor(model, key, std::move(rounded), told, report);
    }
  });
}

std::vector<ShortcutOption> options() {
  std::vector<ShortcutOption> all = grid_options("4", "128");
  all.insert(all.begin(), {"type", "grid: in memory; Q4_0, Q4_1, Q8_0: GGUF's blocks, whose group is 32", "grid"});
  all.push_back({"damping", "share of the mean diagonal that is added to it", "0.01"});
  all.push_back({"ordered", "yes: columns of large inputs first, grids of the numbers as they were; no", "no"});
  return all;
}

}  // namespace

const Shortcut& shortcut_gptq() {
  static const Shortcut shortcut{"gptq", "rounds column by column and lets the columns behind make up for each error", "Frantar et al. 2022, arXiv:2210.17323", "gptq:bits=4,group=128",
                                 options(), least_calibration_tokens, check, apply};
  return shortcut;
}

}  // namespace vitrine
