#include "probes/patching/ablation.h"

#include <algorithm>

#include "core/base/error.h"
#include "probes/patching/base_run_internal.h"

namespace vitrine {
namespace {

/// The z of one head of each cell becomes one row of numbers.
class AblatedHeads : public Observer {
 public:
  /// @param replacement  [layers, heads, d_head]
  AblatedHeads(std::span<const Cell> cells, std::span<const std::vector<float>> replacement) : cells_(cells), replacement_(replacement) {}
  Access access(const ProbePoint& point) const override { return point.site == Site::z && point.role == AttentionRole::self ? Access::write : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const Cell& cell = cells_[rows[r].sequence];
      if (point.block != static_cast<int>(cell.block)) continue;
      const std::vector<float>& row = replacement_[cell.block * values.extent(1) + *cell.head];
      std::ranges::copy(row, &values(r, *cell.head, 0));
    }
  }

 private:
  std::span<const Cell> cells_;
  std::span<const std::vector<float>> replacement_;
};

std::vector<float> mean_of(const PointValues& values, const ProbePoint& point, std::size_t head) {
  const std::size_t rows = values.rows(point);
  std::vector<double> sums(values.row(point, 0, head).size(), 0.0);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span<const float> row = values.row(point, r, head);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += row[i];
  }
  std::vector<float> mean;
  for (const double sum : sums) mean.push_back(static_cast<float>(sum / static_cast<double>(rows)));
  return mean;
}

}  // namespace

HeadAblation ablate_heads(const ModelRunner& runner, const ModelText& text, AblationValue value) {
  const ModelSpec& spec = runner.model.spec;
  if (!spec.has_head || !spec.causal() || !spec.encoder.empty()) throw Error({spec.name, "a model that predicts next tokens with one stack of blocks", spec.architecture, "choose another model"});
  if (text.ids.size() < 2) throw Error({"text", "at least two tokens", std::to_string(text.ids.size()), "give a longer text"}, Fault::usage);
  const SweepPoint point{.stack = spec.stack, .site = Site::z, .unit = PatchUnit::head};
  const std::vector<ProbePoint> places = in_every_block(spec, point, Site::z);
  PointValues own(places);
  Ops& ops = runner.ops;
  const Outcome loss{0, text.ids.size() - 2, [&](std::size_t position, std::span<const float> logits) { return -ops.log_probability(logits, static_cast<std::size_t>(text.ids[position + 1])); }};
  BaseRun run(runner, text, loss, point, &own);
  const std::size_t heads = spec.blocks.front().attention.heads;
  std::vector<Cell> cells;
  std::vector<std::vector<float>> replacement;
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) {
    for (std::size_t head = 0; head < heads; ++head) {
      cells.push_back({block, {}, head});
      replacement.push_back(value == AblationValue::mean ? mean_of(own, places[block], head) : std::vector<float>(spec.blocks[block].attention.head_dim, 0.0f));
    }
  }
  HeadAblation result{.loss = run.number(), .tokens = text.ids.size() - 1, .layers = spec.blocks.size(), .heads = heads, .ablated = {}};
  result.ablated = run.run(cells, 0, [&](std::span<const Cell> batch) { return std::make_unique<AblatedHeads>(batch, replacement); });
  return result;
}

}  // namespace vitrine
