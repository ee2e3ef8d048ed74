#include "probes/head_score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "probes/head_maps.h"

namespace vitrine {
namespace {

constexpr std::size_t band_rows = 64;  // rows of a map that exist at once

std::vector<std::optional<std::size_t>> earlier_equals(std::span<const std::int32_t> ids) {
  std::map<std::int32_t, std::size_t> seen;
  std::vector<std::optional<std::size_t>> earlier(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto found = seen.find(ids[i]);
    if (found != seen.end()) earlier[i] = found->second;
    seen[ids[i]] = i;
  }
  return earlier;
}

using Sums = std::vector<HeadScore::Sum>;

/// The tokens that a module's queries and keys have in common.
struct Text {
  std::vector<std::int32_t> ids;
  std::vector<std::optional<std::size_t>> earlier;
};

bool is_defined(const HeadScore& score, const Recording::Module& module) { return module.queries == module.keys || !score.within_text; }

/// A score of one head over one sequence, band by band.
void add_bands(const HeadScore& score, const Recording::Head& head, const Text& text, HeadScore::Sum& sum) {
  const std::size_t length = head.factors.q.extent(0), keys = head.factors.k.extent(0);
  std::vector<float> buffer(std::min(band_rows, length) * keys);
  for (std::size_t row = 0; row < length && keys > 0; row += band_rows) {
    const std::size_t rows = std::min(band_rows, length - row);
    const TensorView<float, 2> tile(buffer.data(), {rows, keys});
    pattern_tile(head.factors, row, 0, tile);
    add_rows(score, {row, tile, text.ids, text.earlier}, sum);
  }
}

/// The same of a score that asks for one key a row: cells, not rows.
void add_cells(const HeadScore& score, const Recording::Head& head, const Text& text, HeadScore::Sum& sum) {
  if (head.factors.k.extent(0) == 0) return;
  for (std::size_t row = 0; row < head.factors.q.extent(0); ++row) {
    const std::optional<std::size_t> key = score.key(row, text.earlier);
    if (!key) continue;
    float weight = 0.0f;
    pattern_tile(head.factors, row, *key, {&weight, {1, 1}});
    sum.total += weight;
    sum.count += 1.0;
  }
}

/// Scores of every head of a module over one sequence.
class ModuleScores {
 public:
  ModuleScores(const Recording& recording, const Recording::Module& module)
      : recording_(recording), module_(module), sums_(module.heads, Sums(all_head_scores().size())) {}

  void add(std::size_t sequence, ThreadPool& pool) {
    const auto scores = all_head_scores();
    std::vector<std::size_t> made;  // of the map
    for (std::size_t s = 0; s < scores.size(); ++s) {
      if (!is_defined(*scores[s], module_)) continue;
      scores[s]->row_statistic.empty() ? made.push_back(s) : add_statistic(s, sequence);
    }
    if (made.empty()) return;
    Text text;
    if (module_.queries == module_.keys) text.ids = recording_.token_ids(sequence, module_.queries);
    text.earlier = earlier_equals(text.ids);
    // A feature map's directions are made for every tile: few large ones are quicker there.
    const bool by_cells = module_.rule.kind != PatternKind::feature_map;
    each_head(recording_, module_, sequence, pool, [&](std::size_t h, const Recording::Head& head) {
      for (const std::size_t s : made) (scores[s]->key && by_cells ? add_cells : add_bands)(*scores[s], head, text, sums_[h][s]);
    });
  }
  const Sums& of(std::size_t head) const { return sums_[head]; }

 private:
  void add_statistic(std::size_t score, std::size_t sequence) {
    const HeadScore& of = *all_head_scores()[score];
    const std::vector<float> rows = recording_.row_statistic(module_, of.row_statistic, sequence);  // [row, head]
    for (std::size_t i = of.first_row * module_.heads; i < rows.size(); ++i) {
      HeadScore::Sum& sum = sums_[i % module_.heads][score];
      sum.total += rows[i];
      sum.count += 1.0;
    }
  }

  const Recording& recording_;
  const Recording::Module& module_;
  std::vector<Sums> sums_;  // [head][score]
};

/// What a reader of summaries alone can know.
std::vector<HeadRow> table_of_summaries(const Recording& recording) {
  const auto scores = all_head_scores();
  std::vector<std::vector<double>> means;  // [score][module * heads]
  for (const HeadScore* score : scores) {
    const bool of_all_rows = !score->row_statistic.empty() && score->first_row == 0;
    means.push_back(of_all_rows ? recording.summary(score->row_statistic) : std::vector<double>());
  }
  std::vector<HeadRow> table;
  const auto modules = recording.modules();
  for (std::size_t m = 0; m < modules.size(); ++m) {
    for (std::size_t h = 0; h < modules[m].heads; ++h) {
      HeadRow row{modules[m].name, modules[m].block, h, {}};
      for (std::size_t s = 0; s < scores.size(); ++s) {
        const bool defined = !means[s].empty() && is_defined(*scores[s], modules[m]);
        const double mean = defined ? means[s][m * (means[s].size() / modules.size()) + h] : std::numeric_limits<double>::quiet_NaN();
        row.scores.push_back(std::isfinite(mean) ? std::optional(mean) : std::nullopt);
      }
      table.push_back(std::move(row));
    }
  }
  return table;
}

}  // namespace

void add_rows(const HeadScore& score, const PatternBand& band, HeadScoreSum& sum) {
  if (score.accumulate) return score.accumulate(band, sum);
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    const std::optional<std::size_t> key = score.key(band.first_row + r, band.earlier);
    if (!key) continue;
    sum.total += band.weights(r, *key);
    sum.count += 1.0;
  }
}

std::vector<HeadRow> head_table(const Recording& recording, ThreadPool& pool, Run& run) {
  if (!recording.may_read(DataClass::values) && recording.finished()) return table_of_summaries(recording);
  std::vector<HeadRow> table;
  std::size_t done = 0;
  for (const Recording::Module& module : recording.modules()) {
    ModuleScores scores(recording, module);
    for (std::size_t sequence = 0; sequence < recording.sequences(); ++sequence) scores.add(sequence, pool);
    for (std::size_t h = 0; h < module.heads; ++h) {
      HeadRow row{module.name, module.block, h, {}};
      for (const HeadScore::Sum& sum : scores.of(h)) {
        const double mean = sum.count > 0.0 ? sum.total / sum.count : std::numeric_limits<double>::quiet_NaN();
        row.scores.push_back(std::isfinite(mean) ? std::optional(mean) : std::nullopt);
      }
      table.push_back(std::move(row));
    }
    run.step("heads", ++done, recording.modules().size());
  }
  return table;
}

}  // namespace vitrine
