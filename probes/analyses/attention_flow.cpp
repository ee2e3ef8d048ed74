#include <numeric>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/head_maps.h"
#include "probes/layered_flow.h"
#include "probes/token_labels.h"

// How much of each token can reach a row through all layers if attention and the residual stream are pipes (Abnar & Zuidema 2020,
// section 3.2): the largest flow from the row after the last layer to the token before the first, where the arc from row i to row j of a
// layer holds what attention_rollout mixes, (mean over heads of A + I) scaled to sum 1. Each token's flow is made alone, on the empty
// network; beside it stands its share of the sum, as in the paper's code. Exact up to 1e-12 of a capacity. The work grows with the third
// power of the length and with the layers: at most 512 tokens.

namespace vitrine {
namespace {

constexpr std::size_t most_tokens = 512;

AnalysisResult run(const AnalysisInput& input) {
  const Recording& recording = *input.recordings.front();
  const std::size_t sequence = input.options.whole("sequence", 0, recording.sequences() - 1);
  const std::vector<Recording::Module> modules = modules_of_text(recording, sequence);
  const std::size_t length = recording.rows_of(sequence).count;
  if (length > most_tokens)
    throw Error({recording.path().string(), "at most " + std::to_string(most_tokens) + " tokens in a sequence", std::to_string(length),
                 "see attention_rollout"});
  const std::size_t row = input.options.is("row", "last") ? length - 1 : input.options.whole("row", 0, length - 1);
  LayeredGraph graph{.width = length, .capacity = {}};
  for (const Recording::Module& module : modules) graph.capacity.push_back(attention_with_residual(recording, module, sequence, input.pool));
  std::vector<double> flows(length);
  const std::size_t at_once = input.pool.threads();
  for (std::size_t first = 0; first < length; first += at_once) {
    const std::size_t count = std::min(at_once, length - first);
    input.pool.run(count, [&](std::size_t i, std::size_t) { flows[first + i] = maximum_flow(graph, row, first + i); });
    input.run.step("attention_flow", first + count, length);
  }
  const double sum = std::accumulate(flows.begin(), flows.end(), 0.0);
  const std::vector<std::string> labels = position_labels(recording, sequence);
  AnalysisTable table{"largest flow to row " + labels[row], {"token", "flow", "share"}, {}};
  for (std::size_t j = 0; j < length; ++j) table.rows.push_back({labels[j], flows[j], sum > 0.0 ? Json(flows[j] / sum) : Json()});
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {{"attention flow", "row", "token", "flow", {labels[row]}, labels, std::move(flows)}};
  result.notes = {"Attention alone: values, output projections and MLPs are left out."};
  if (const auto note = note_on_maps(recording, input.pool)) result.notes.push_back(*note);
  return result;
}

}  // namespace

const Analysis& analysis_attention_flow() {
  static constexpr AnalysisOption options[] = {{"sequence", "which sequence of the recording", "0"},
                                               {"row", "which row after the last layer, counted from 0, or last", "last"}};
  static const Analysis analysis{"attention_flow",
                                 "how much of each token can reach a row, layers being networks of pipes",
                                 "Abnar & Zuidema 2020, arXiv:2005.00928",
                                 "vitrine analyse attention_flow run.h5",
                                 AnalysisOf::recording,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
