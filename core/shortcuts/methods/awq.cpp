#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/shortcuts/column_scales.h"
#include "core/shortcuts/gptq_rounding.h"
#include "core/shortcuts/sequential.h"
#include "core/tensor/quantize.h"

namespace vitrine {
namespace {

/// Where numbers go: a type of blocks, or a grid in memory.
struct Target {
  DType type = DType::f32;  ///< f32: the grid
  GridRule rule;
  bool clips = false;

  /// What must divide the rows of a matrix.
  GridRule runs() const { return type == DType::f32 ? rule : GridRule{std::string(dtype_info(type).name), dtype_info(type).block_size, type, {}}; }
};

Target target_of(const ShortcutCall& call) {
  Target target{.rule = {}};
  if (const std::string word = call.text("type"); word != "grid") {
    const auto type = parse_dtype(word);
    if (!type || *type == DType::f32 || dtype_info(*type).compress == nullptr) throw Error({"awq, type", "grid, or a type of blocks such as Q4_0 or Q4_K", quoted(word), ""}, Fault::usage);
    target.type = *type;
    return target;
  }
  target.rule = grid_rule(call);
  target.clips = call.flag("clip");
  return target;
}

/// The numbers of a run drawn to `share` of its ends.
std::vector<double> clipped(std::span<const double> numbers, double share) {
  const auto [low, high] = std::ranges::minmax(numbers);
  std::vector<double> result;
  for (const double x : numbers) result.push_back(std::clamp(x, std::min(low * share, 0.0), std::max(high * share, 0.0)));
  return result;
}

/// The grid of the drawn-in ends, 1 to 0.5 of them, under which the run errs least, weighed by importance.
GridRule with_clip_search(const GridRule& rule) {
  GridRule searching = rule;
  searching.fit = [fit = rule.fit](std::span<const double> numbers, std::span<const double> importance) {
    Grid best;
    double least = std::numeric_limits<double>::infinity();
    for (int step = 0; step <= 10; ++step) {
      const Grid grid = fit(clipped(numbers, 1.0 - 0.05 * step), importance);
      double error = 0.0;
      for (std::size_t i = 0; i < numbers.size(); ++i) error += importance[i] * (grid.round(numbers[i]) - numbers[i]) * (grid.round(numbers[i]) - numbers[i]);
      if (error < least) least = error, best = grid;
    }
    return best;
  };
  return searching;
}

class Awq {
 public:
  Awq(Model& model, const Target& target, const ShortcutBench& bench, ShortcutReport& report)
      : model_(model), target_(target), bench_(bench), report_(report), divided_(divided_matrices(model, target.runs(), report.notes)) {}

  void change_block(std::span<const WeightKey> keys, const StatisticsOf& found) {
    numbers_.clear();
    scales_.clear();
    for (const WeightKey& key : keys) {
      if (!divided_.contains(key)) continue;
      if (found.contains(key)) numbers_.emplace(key, expand(model_.weights.at(key)));
      else report_.notes.push_back(matrix_name(key) + " stays as it was: no row of the calibration text was multiplied by it");
    }
    for (const ScaledGroup& group : scaled_groups(model_, keys)) scale(group, found);
    for (const auto& [key, numbers] : numbers_) put(key, *found.at(key));
  }

  std::size_t unscaled() const { return unscaled_; }

 private:
  Tensor rounded(const Tensor& numbers, std::span<const float> importance, bool clips) const {
    if (target_.type != DType::f32) return round_to(numbers, {target_.type, importance, "awq"}, bench_.ops.pool(), bench_.run);
    const std::vector<double> weights(importance.begin(), importance.end());
    const GridRule rule = clips ? with_clip_search(target_.rule) : target_.rule;
    return tensor_of(nearest_round(numbers, weights, rule, bench_.ops.pool()), rule, numbers.shape().back());
  }

  void scale(const ScaledGroup& group, const StatisticsOf& found) {
    std::vector<const Tensor*> matrices;
    for (const WeightKey& key : group.matrices) {
      if (numbers_.contains(key)) matrices.push_back(&numbers_.at(key));
    }
    if (matrices.size() < group.matrices.size()) return;
    const bool is_carried = !group.carrier.empty() && (!group.carrier.matrix || numbers_.contains(*group.carrier.matrix));
    if (target_.type != DType::f32 && !is_carried) {
      unscaled_ += matrices.size();
      return;
    }
    const InputStatistics& statistics = *found.at(group.matrices.front());
    const std::vector<float> scales =
        search_scales(matrices, statistics, [this](const Tensor& numbers, auto importance) { return rounded(numbers, importance, false); }, bench_.ops.pool());
    for (const WeightKey& key : group.matrices) scales_[key] = scales;
    if (target_.type != DType::f32) fold(group.carrier, scales);
  }

  /// Divides what the rows come out of; a matrix that is rounded too is not in the model yet.
  void fold(const ScaleCarrier& carrier, const std::vector<float>& scales) {
    for (const WeightKey& key : carrier.norms) {
      Tensor numbers = expand(model_.weights.at(key));
      divide_columns(numbers, scales);
      model_.weights.replace(key, vector_of(std::move(numbers)));
    }
    if (!carrier.matrix) return;
    divide_rows(numbers_.at(*carrier.matrix), scales);
    WeightKey bias = *carrier.matrix;
    bias.bias = true;
    if (!model_.weights.find(bias)) return;
    Tensor numbers = expand(model_.weights.at(bias));
    divide_columns(numbers, scales);
    model_.weights.replace(bias, vector_of(std::move(numbers)));
  }

  /// [1, n] as a vector.
  static Tensor vector_of(Tensor numbers) {
    Tensor vector(DType::f32, {numbers.size()});
    std::ranges::copy(numbers.floats(), vector.floats().begin());
    return vector;
  }

  void put(const WeightKey& key, const InputStatistics& statistics) {
    const Tensor& wanted = numbers_.at(key);
    std::vector<float> importance = importance_of(&statistics), scales = scales_.contains(key) ? scales_.at(key) : std::vector<float>(importance.size(), 1.0f);
    for (std::size_t c = 0; c < scales.size(); ++c) importance[c] /= scales[c] * scales[c];
    Tensor scaled = copy_of(wanted);
    multiply_columns(scaled, scales);
    // Clipping queries and keys moves the scores of all positions at once; the paper leaves them alone.
    const bool clips = target_.clips && key.role != Role::attn_q && key.role != Role::attn_k;
    Tensor stored = rounded(scaled, importance, clips);
    Tensor effective = expand(make_weight(copy_of(stored)));
    divide_columns(effective, scales);
    const bool in_memory = target_.type == DType::f32;
    const Replacement told{"AWQ, " + (in_memory ? target_.rule.name : std::string(dtype_info(target_.type).name)), wanted, &statistics.gram, &effective};
    in_memory ? put_numbers(model_, key, effective, told, report_) : put_tensor(model_, key, std::move(stored), told, report_);
  }

  Model& model_;
  const Target& target_;
  const ShortcutBench& bench_;
  ShortcutReport& report_;
  std::set<WeightKey> divided_;
  std::map<WeightKey, Tensor> numbers_;              // of the block in hand, rows divided where another group's scales were folded into them
  std::map<WeightKey, std::vector<float>> scales_;   // [cols] of each
  std::size_t unscaled_ = 0;
};

std::size_t least_calibration_tokens(const ShortcutCall&, const Model&) { return 512; }

void check(const Model& model, const ShortcutCall& call, std::size_t) { require_divided_matrices(model, target_of(call).runs()); }

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const Target target = target_of(call);
  Awq awq(model, target, bench, report);
  change_block_by_block(model, bench, Statistics::gram, [&](std::span<const WeightKey> of_block, const StatisticsOf& found) { awq.change_block(of_block, found); });
  if (awq.unscaled() > 0) {
    report.notes.push_back(std::to_string(awq.unscaled()) + " matrices were rounded without scales: nothing before them can take the inverse exactly (grouped queries, shared norms, an activation between)");
  }
}

std::vector<ShortcutOption> options() {
  std::vector<ShortcutOption> all = grid_options("4", "128");
  all.insert(all.begin(), {"type", "grid: in memory, scales undone; Q4_0, Q4_K, ...: blocks, scales folded into what comes before", "grid"});
  all.push_back({"clip", "yes: search for ends of each group, but of queries and keys; no", "yes"});
  return all;
}

}  // namespace

const Shortcut& shortcut_awq() {
  static const Shortcut shortcut{"awq", "columns of large inputs are scaled up before rounding, and what feeds them down", "Lin et al. 2023, arXiv:2306.00978", "awq:bits=4,group=128",
                                 options(), least_calibration_tokens, check, apply};
  return shortcut;
}

}  // namespace vitrine
