#include "probes/head_drift.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/analysis.h"

// How far every head's attention in the second recording is from the same head's in the first, on the same tokens: the mean over rows of
// the Jensen-Shannon divergence (Lin 1991), in bits; 0 where both look the same way, 1 where they look at different keys altogether. What a
// kernel, a quantisation or a pruning changed, head by head. Rows with fewer than 8 visible keys are left out, and of long texts every
// n-th row is looked at. There is no null value: any change makes it larger than 0, so it is to be read beside a control (the same file
// recorded under another precision).

namespace vitrine {
namespace {

AnalysisResult run(const AnalysisInput& input) {
  const Recording &reference = *input.recordings[0], &variant = *input.recordings[1];
  const std::vector<HeadDrift> drifts = head_drift(reference, variant, input.pool, input.run, input.options.whole("rows", 8, 100000));
  AnalysisResult result;
  AnalysisTable table{"divergence of attention from the first recording, bits", {"module", "layer", "head", "divergence", "low", "high", "rows"}, {}};
  std::vector<const HeadDrift*> order;
  for (const HeadDrift& each : drifts) order.push_back(&each);
  std::ranges::stable_sort(order, std::greater<>(), [](const HeadDrift* each) { return std::isnan(each->divergence.value) ? -1.0 : each->divergence.value; });
  for (const HeadDrift* each : order) {
    const Estimate& e = each->divergence;
    table.rows.push_back({each->module, std::uint64_t{each->block}, std::uint64_t{each->head}, e.value, e.low, e.high, std::uint64_t{e.n}});
  }
  result.tables = {std::move(table)};
  result.notes = {"the first recording is the reference; heads are in the order of their divergence",
                  variant.sequences() > 1 ? "intervals resample texts" : "one text: intervals resample stretches of 32 of its rows, and say nothing about other texts"};
  if (order.empty() || std::isnan(order.front()->divergence.value)) result.notes.push_back("a null: no row of the text sees 8 keys");
  return result;
}

}  // namespace

const Analysis& analysis_head_drift() {
  static constexpr AnalysisOption options[] = {{"rows", "most rows of a text that are looked at", "256"}};
  static const Analysis analysis{"head_drift", "how far each head's attention is from the same head's in another recording", "Lin 1991 (Jensen-Shannon divergence)",
                                 "vitrine analyse head_drift f32.h5 q4.h5", AnalysisOf::recordings, options, run};
  return analysis;
}

}  // namespace vitrine
