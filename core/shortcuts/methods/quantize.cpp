#include <algorithm>

#include "core/base/error.h"
#include "core/shortcuts/importance_file.h"
#include "core/shortcuts/shortcut.h"
#include "core/shortcuts/type_plan.h"
#include "core/tensor/quantize.h"

namespace vitrine {
namespace {

constexpr std::size_t least_tokens = 512;  // below which a mean square of inputs says little
constexpr std::string_view importance_words[] = {"auto", "no", "yes"};
constexpr std::string_view block_words[] = {"quantize", "keep"};

bool keeps_blocks(const ShortcutCall& call) { return call.choice("blocks", block_words) == 1; }

std::size_t least_calibration_tokens(const ShortcutCall& call, const Model&) {
  return !keeps_blocks(call) && call.choice("importance", importance_words) == 2 ? least_tokens : 0;
}

/// Against itself a type has no error, and against a coarser one a finer looks worse than it is.
void require_another_type(const Model& model, const TypePlan& plan) {
  const std::vector<WeightKey> keys = block_matrices(model);
  const bool same = std::ranges::all_of(keys, [&](const WeightKey& key) { return model.weights.at(key).type == plan.types.at(key); });
  if (!same || keys.empty()) return;
  throw Error({"quantize:type=" + plan.name, "a type that the file does not have already", "its matrices are of these types", "start from a file of higher precision"}, Fault::usage);
}

/// The statistics are of the inputs of blocks.
bool is_calibrated(const ShortcutCall& call, std::size_t calibration_tokens) {
  if (keeps_blocks(call)) return false;
  if (call.has("matrix")) return true;
  const std::size_t importance = call.choice("importance", importance_words);
  return importance == 2 || (importance == 0 && calibration_tokens > 0);
}

TypePlan plan_of(const Model& model, const ShortcutCall& call, bool calibrated) {
  return plan_types(model, call.text("type"), calibrated ? Calibrated::yes : Calibrated::no, keeps_blocks(call) ? PlannedPart::outside_blocks : PlannedPart::all);
}

void check(const Model& model, const ShortcutCall& call, std::size_t calibration_tokens) {
  if (call.has("matrix")) {
    if (call.has("importance") || keeps_blocks(call)) throw Error({"shortcut quantize, matrix", "no importance and no blocks=keep beside it", "one", ""}, Fault::usage);
    read_importance(call.text("matrix"), model);
    return require_another_type(model, plan_of(model, call, true));
  }
  if (keeps_blocks(call)) {
    plan_of(model, call, false);
    if (call.choice("importance", importance_words) == 2) throw Error({"shortcut quantize, importance", "no beside blocks=keep: nothing is known of what tables and heads multiply", "yes", ""}, Fault::usage);
    return;
  }
  const bool calibrated = is_calibrated(call, calibration_tokens);
  if (calibrated && calibration_tokens < least_tokens) {
    throw Error({"calibration text for quantize", "at least " + std::to_string(least_tokens) + " tokens", std::to_string(calibration_tokens), "give more text, or importance=no"},
                Fault::usage);
  }
  require_another_type(model, plan_of(model, call, calibrated));
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const bool calibrated = is_calibrated(call, bench.calibration_tokens());
  const TypePlan plan = plan_of(model, call, calibrated);
  const DType was = most_frequent_type(model);
  StatisticsOf statistics;
  if (call.has("matrix")) {
    statistics = read_importance(call.text("matrix"), model);
  } else if (calibrated) {
    const std::vector<WeightKey> blocks = block_matrices(model);
    statistics = input_statistics(bench.runner(model), bench.calibration, {blocks.begin(), blocks.end()}, Statistics::columns);
  }
  const std::vector<WeightKey> keys = distinct_matrices(model, plan);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const DTypeInfo& type = dtype_info(plan.types.at(keys[i]));
    bench.run.step("quantize", i, keys.size());
    if (model.weights.at(keys[i]).type == type.type) {
      ++kept;
      continue;
    }
    const auto found = statistics.find(keys[i]);
    const std::vector<float> weights = importance_of(found == statistics.end() ? nullptr : found->second.get());
    const Tensor numbers = expand(model.weights.at(keys[i]));
    put_tensor(model, keys[i], round_to(numbers, {type.type, weights, matrix_name(keys[i])}, bench.ops.pool(), bench.run), {std::string(type.name), numbers}, report);
  }
  bench.run.step("quantize", keys.size(), keys.size());
  report.notes.insert(report.notes.end(), plan.notes.begin(), plan.notes.end());
  if (dtype_info(was).quantized && !keeps_blocks(call)) report.notes.push_back("on top of " + std::string(dtype_info(was).name) + ": errors are against numbers that were rounded before");
  if (kept > 0) report.notes.push_back(std::to_string(kept) + " matrices have their type already and were left as they are");
  if (keeps_blocks(call)) return;
  if (call.has("matrix")) {
    report.notes.push_back("errors were weighed by the file's mean squares for " + std::to_string(statistics.size()) + " of " + std::to_string(block_matrices(model).size()) + " matrices of blocks");
    return;
  }
  report.notes.push_back(calibrated ? "errors were weighed by the mean square of each column's input over " + std::to_string(bench.calibration_tokens()) + " tokens"
                                    : "all columns count the same: no calibration text");
}

}  // namespace

const Shortcut& shortcut_quantize() {
  static const Shortcut shortcut{"quantize", "matrices in GGUF's blocks, types tensor by tensor as in llama.cpp's files", "llama.cpp's types and mixes; errors by this project's searches",
                                 "quantize:type=Q4_K_M", {{"type", "Q8_0, Q4_K_M, IQ4_XS, ...", ""}, {"importance", "auto: where a calibration text is given; no; yes", "auto"},
                                  {"matrix", "a file of llama-imatrix (GGUF) that says the importance of columns", "", true},
                                  {"blocks", "quantize; keep: as they are, so that only tables and heads change", "quantize"}},
                                 least_calibration_tokens, check, apply};
  return shortcut;
}

}  // namespace vitrine
