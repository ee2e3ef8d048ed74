#include "probes/head_score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>

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

/// All scores of one head over one sequence, band by band.
void accumulate_head(const Recording::Head& head, const Text& text, bool within_text, Sums& sums) {
  const std::size_t length = head.factors.q.extent(0), keys = head.factors.k.extent(0);
  const auto scores = all_head_scores();
  std::vector<float> buffer(std::min(band_rows, length) * keys);
  for (std::size_t row = 0; row < length && keys > 0; row += band_rows) {
    const std::size_t rows = std::min(band_rows, length - row);
    const TensorView<float, 2> tile(buffer.data(), {rows, keys});
    pattern_tile(head.factors, row, 0, tile);
    const PatternBand band{row, tile, text.ids, text.earlier};
    for (std::size_t s = 0; s < scores.size(); ++s) {
      if (within_text || !scores[s]->within_text) scores[s]->accumulate(band, sums[s]);
    }
  }
}

/// What a reader of summaries alone can know.
std::vector<HeadRow> table_of_summaries(const Recording& recording) {
  const auto scores = all_head_scores();
  std::vector<std::vector<double>> means;  // [score][module * heads]
  for (const HeadScore* score : scores) means.push_back(score->row_statistic.empty() ? std::vector<double>() : recording.summary(score->row_statistic));
  std::vector<HeadRow> table;
  const auto modules = recording.modules();
  for (std::size_t m = 0; m < modules.size(); ++m) {
    for (std::size_t h = 0; h < modules[m].heads; ++h) {
      HeadRow row{modules[m].name, modules[m].block, h, {}};
      for (std::size_t s = 0; s < scores.size(); ++s) {
        const bool defined = !means[s].empty() && (modules[m].queries == modules[m].keys || !scores[s]->within_text);
        const double mean = defined ? means[s][m * (means[s].size() / modules.size()) + h] : std::numeric_limits<double>::quiet_NaN();
        row.scores.push_back(std::isfinite(mean) ? std::optional(mean) : std::nullopt);
      }
      table.push_back(std::move(row));
    }
  }
  return table;
}

}  // namespace

void add_weights_at_copies(const PatternBand& band, std::size_t offset, HeadScoreSum& sum) {
  for (std::size_t r = 0; r < band.weights.extent(0); ++r) {
    const auto& earlier = band.earlier[band.first_row + r];
    if (!earlier) continue;
    sum.total += band.weights(r, *earlier + offset);
    sum.count += 1.0;
  }
}

std::vector<HeadRow> head_table(const Recording& recording, ThreadPool& pool, Run& run) {
  if (!recording.may_read(DataClass::values) && recording.finished()) return table_of_summaries(recording);
  const auto scores = all_head_scores();
  std::vector<HeadRow> table;
  std::size_t done = 0;
  for (const Recording::Module& module : recording.modules()) {
    std::vector<Sums> sums(module.heads, Sums(scores.size()));
    for (std::size_t sequence = 0; sequence < recording.sequences(); ++sequence) {
      const bool within_text = module.queries == module.keys;
      Text text;
      if (within_text) text.ids = recording.token_ids(sequence, module.queries);
      text.earlier = earlier_equals(text.ids);
      std::vector<std::shared_ptr<const Recording::Head>> heads;  // read by one thread, worked on by all
      for (std::size_t h = 0; h < module.heads; ++h) heads.push_back(recording.head(module, h, sequence));
      pool.run(module.heads, [&](std::size_t h, std::size_t) { accumulate_head(*heads[h], text, within_text, sums[h]); });
    }
    for (std::size_t h = 0; h < module.heads; ++h) {
      HeadRow row{module.name, module.block, h, {}};
      for (const HeadScore::Sum& sum : sums[h]) {
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
