#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/head_maps.h"

// Attention sinks as sail-sg/Attention-Sink defines them (Gu et al. 2024, arXiv:2410.10781, section 3): over the first T rows of a text,
//   importance of key j: a_j = sum_{i >= j} A[i, j] / (T - j)
// and a head has its sink at key j where a_j > eps. The sink rate is the share of heads and texts with a sink at the first key; the paper
// has T = 64, eps = 0.3. Texts of fewer than T tokens are left out. A head that looks at all visible keys alike has a_0 = H_T / T, which
// is the control beside.

namespace vitrine {
namespace {

struct HeadSinks {
  std::vector<double> first;       // a_0 by text
  std::vector<double> importance;  // [tokens] summed over texts
};

std::vector<double> importance_of(const Recording::Head& head, std::size_t tokens) {
  std::vector<double> sums(tokens, 0.0);
  each_map_row(head, tokens, [&](std::size_t i, std::span<const float> weights) {
    for (std::size_t j = 0; j <= i; ++j) sums[j] += weights[j];
  });
  for (std::size_t j = 0; j < tokens; ++j) sums[j] /= static_cast<double>(tokens - j);
  return sums;
}

double uniform_control(std::size_t tokens) {
  double sum = 0.0;
  for (std::size_t i = 1; i <= tokens; ++i) sum += 1.0 / static_cast<double>(i);
  return sum / static_cast<double>(tokens);
}

AnalysisResult run(const AnalysisInput& input) {
  const Recording& recording = *input.recordings.front();
  const std::size_t tokens = input.options.whole("tokens", 2, 4096);
  const double eps = input.options.number("eps", 0.0, 1.0);
  const std::vector<Recording::Module> modules = own_modules(recording);
  if (modules.empty()) throw Error({recording.path().string(), "attention factors", "none", "record with --attention factors"});
  std::vector<std::size_t> texts;
  for (std::size_t s = 0; s < recording.sequences(); ++s) {
    if (recording.rows_of(s).count >= tokens) texts.push_back(s);
  }
  if (texts.empty())
    throw Error({recording.path().string(), "a sequence of at least " + std::to_string(tokens) + " tokens", "shorter ones", "give --set tokens=N"});
  std::size_t most = 0;
  for (const Recording::Module& module : modules) most = std::max(most, module.heads);
  std::vector<double> grid(modules.size() * most, std::nan("")), rates(texts.size(), 0.0);
  AnalysisTable table{"importance of the first key, means over " + std::to_string(texts.size()) + " texts of " + std::to_string(tokens) + " tokens",
                      {"head", "first key", "low", "high", "looks at all alike", "sink in texts, share", "largest other key", "its importance"},
                      {}};
  double heads = 0.0;
  for (std::size_t m = 0; m < modules.size(); ++m) {
    std::vector<HeadSinks> sinks(modules[m].heads, HeadSinks{std::vector<double>(texts.size()), std::vector<double>(tokens, 0.0)});
    for (std::size_t t = 0; t < texts.size(); ++t) {
      each_head(recording, modules[m], texts[t], input.pool, [&](std::size_t h, const Recording::Head& head) {
        const std::vector<double> importance = importance_of(head, tokens);
        sinks[h].first[t] = importance[0];
        for (std::size_t j = 0; j < tokens; ++j) sinks[h].importance[j] += importance[j] / static_cast<double>(texts.size());
      });
    }
    for (std::size_t h = 0; h < modules[m].heads; ++h) {
      const Estimate first = described_mean({"a_0", "share", "text"}, sinks[h].first, {});
      double share = 0.0;
      for (std::size_t t = 0; t < texts.size(); ++t) {
        if (sinks[h].first[t] <= eps) continue;
        share += 1.0 / static_cast<double>(texts.size());
        rates[t] += 1.0;
      }
      const auto other = std::max_element(sinks[h].importance.begin() + 1, sinks[h].importance.end());
      const double mean = sinks[h].importance[0];
      grid[m * most + h] = mean;
      heads += 1.0;
      table.rows.push_back({head_label(modules[m].block, h), mean, first.low, first.high, uniform_control(tokens), share,
                            static_cast<std::uint64_t>(other - sinks[h].importance.begin()), *other});
    }
    input.run.step("sink_mass", m + 1, modules.size());
  }
  for (double& rate : rates) rate /= heads;
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {head_grid("importance of the first key", "share", most, std::move(grid))};
  Estimate rate = described_mean({"sink rate: heads with a sink at the first key", "share", "text"}, rates, {});
  rate.control = uniform_control(tokens) > eps ? 1.0 : 0.0;
  result.estimates = {std::move(rate)};
  if (texts.size() < recording.sequences())
    result.notes.push_back(std::to_string(recording.sequences() - texts.size()) + " shorter texts were left out.");
  if (const auto note = note_on_maps(recording, input.pool)) result.notes.push_back(*note);
  result.notes.push_back("The first token counts whatever it is: with BOS, its own sink is BOS.");
  return result;
}

}  // namespace

const Analysis& analysis_sink_mass() {
  static constexpr AnalysisOption options[] = {{"tokens", "T, the leading tokens of each text that count", "64"},
                                               {"eps", "importance above which a key is a sink", "0.3"}};
  static const Analysis analysis{"sink_mass",
                                 "attention sinks: importance of the first key, and how many heads have theirs there",
                                 "Gu et al. 2024, arXiv:2410.10781; sail-sg/Attention-Sink",
                                 "vitrine analyse sink_mass run.h5 --set tokens=64",
                                 AnalysisOf::recording,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
