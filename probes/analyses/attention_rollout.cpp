#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/head_maps.h"
#include "probes/token_labels.h"

// How much of each token is in each row after all layers, if attention were all that mixes rows: with B_l = (mean over heads of A_l + I),
// rows scaled to sum 1, the rollout is J = B_L ... B_2 B_1 (Abnar & Zuidema 2020, eq. 1; code of samiraabnar/attention_flow, which
// averages heads first). Row i of J sums to 1. A row without any visible key keeps its own token. Printed is the last row after every layer;
// the grid is the whole matrix after the last.

namespace vitrine {
namespace {

/// a b, a's rows shared out.  [rows, rows]
std::vector<double> product(const AnalysisInput& input, std::span<const double> a, std::span<const double> b, std::size_t n) {
  std::vector<double> c(n * n, 0.0);
  input.pool.run(n, [&](std::size_t i, std::size_t) {
    for (std::size_t k = 0; k < n; ++k) {
      const double weight = a[i * n + k];
      for (std::size_t j = 0; weight != 0.0 && j < n; ++j) c[i * n + j] += weight * b[k * n + j];
    }
  });
  return c;
}

AnalysisResult run(const AnalysisInput& input) {
  const Recording& recording = *input.recordings.front();
  const std::size_t sequence = input.options.whole("sequence", 0, recording.sequences() - 1);
  const std::size_t length = recording.rows_of(sequence).count;
  const std::vector<Recording::Module> modules = modules_of_text(recording, sequence);
  if (length > 4096) throw Error({recording.path().string(), "at most 4096 tokens in a sequence", std::to_string(length), "the rollout is a whole matrix"});
  std::vector<double> rollout;
  AnalysisTable table{"share of each token in the last row, after each layer", {"token"}, {}};
  const std::vector<std::string> labels = position_labels(recording, sequence);
  for (const std::string& label : labels) table.rows.push_back({label});
  for (const Recording::Module& module : modules) {
    if (input.run.cancelled()) throw Cancelled();
    const std::vector<double> layer = attention_with_residual(recording, module, sequence, input.pool);
    rollout = rollout.empty() ? layer : product(input, layer, rollout, length);
    table.header.push_back("layer " + std::to_string(module.block));
    for (std::size_t j = 0; j < length; ++j) table.rows[j].push_back(rollout[(length - 1) * length + j]);
    input.run.step("attention_rollout", table.header.size() - 1, modules.size());
  }
  AnalysisGrid grid{"rollout of all layers", "query", "key", "share", labels, labels, std::move(rollout)};
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {std::move(grid)};
  result.notes = {"Attention alone: values, output projections and MLPs are left out."};
  if (const auto note = note_on_maps(recording, input.pool)) result.notes.push_back(*note);
  return result;
}

}  // namespace

const Analysis& analysis_attention_rollout() {
  static constexpr AnalysisOption options[] = {{"sequence", "which sequence of the recording", "0"}};
  static const Analysis analysis{"attention_rollout", "what reaches each row by attention and residual streams alone",
                                 "Abnar & Zuidema 2020, arXiv:2005.00928", "vitrine analyse attention_rollout run.h5 --svg pictures",
                                 AnalysisOf::recording, options, run};
  return analysis;
}

}  // namespace vitrine
