#include <algorithm>

#include "core/base/error.h"
#include "core/shortcuts/adapter.h"
#include "core/shortcuts/low_rank_ops.h"

namespace vitrine {
namespace {

/// Beside the weights: two small products for each large one.
OpsLayer beside(Adapter adapter, double strength) {
  std::map<WeightKey, LowRankTerm> terms;
  for (const LowRankChange& change : adapter.changes) {
    Tensor up = expand(change.up);
    for (float& number : up.floats()) number = static_cast<float>(number * change.scale * strength);
    terms.emplace(change.key, LowRankTerm{change.down, make_weight(std::move(up))});
  }
  return low_rank_layer(std::move(terms));
}

double strength_of(const ShortcutCall& call) { return call.number("scale", -100.0, 100.0); }

Adapter adapter_of(const Model& model, const ShortcutCall& call) {
  Adapter adapter = read_adapter(call.text("adapter"), model);
  const bool magnitudes = std::ranges::any_of(adapter.changes, [](const LowRankChange& change) { return change.magnitude.has_value(); });
  if (magnitudes && !call.flag("merged")) throw Error({"shortcut lora, merged", "yes for an adapter with magnitudes (DoRA)", "no", ""}, Fault::usage);
  return adapter;
}

void check(const Model& model, const ShortcutCall& call, std::size_t) {
  strength_of(call);
  adapter_of(model, call);
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  Adapter adapter = adapter_of(model, call);
  const double strength = strength_of(call);
  for (const BiasChange& change : adapter.biases) model.weights.put(change.key, change.bias);
  report.notes.push_back("adapter of " + std::to_string(adapter.changes.size()) + " matrices, " + std::to_string(adapter.bytes) + " bytes" +
                         (adapter.base.empty() ? "" : ", made for " + quoted(adapter.base)));
  if (!call.flag("merged")) report.bytes_beside += static_cast<std::ptrdiff_t>(adapter.bytes);
  if (!call.flag("merged")) return report.layers.push_back(beside(std::move(adapter), strength));
  for (std::size_t i = 0; i < adapter.changes.size(); ++i) {
    const LowRankChange& change = adapter.changes[i];
    const Tensor before = expand(model.weights.at(change.key));
    put_numbers(model, change.key, merged(copy_of(before), change, strength), {"+ rank " + std::to_string(change.down.rows), before}, report);
    bench.run.step("merge", i + 1, adapter.changes.size());
  }
}

}  // namespace

const Shortcut& shortcut_lora() {
  static const Shortcut shortcut{"lora", "adds an adapter of PEFT, merged into the weights or computed beside them", "Hu et al. 2021, arXiv:2106.09685", "lora:adapter=adapter_folder",
                                 {{"adapter", "folder with adapter_config.json", ""}, {"scale", "times the adapter's own scale", "1"}, {"merged", "yes or no: two small products beside each large one", "yes"}},
                                 nullptr, check, apply, nullptr, [](const ShortcutCall& call) { return call.flag("merged") ? Layering::none : Layering::beside; }};
  return shortcut;
}

}  // namespace vitrine
