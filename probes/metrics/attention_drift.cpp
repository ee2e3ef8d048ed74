#include "probes/statistics/attention_drift.h"

#include "probes/metrics/metric.h"

// D, sink shift and content drift of every head (probes/statistics/attention_drift.h defines them), averaged over
// heads.

namespace vitrine {
namespace {

AttentionDrift drift_of(const HeadMaps& maps, std::size_t tokens) {
  AttentionDrift drift;
  const std::vector<bool> sink = sink_keys({maps.reference.data(), {tokens, tokens}}, maps.causal ? 0 : tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    const std::size_t visible = maps.causal ? i + 1 : tokens;
    if (visible < fewest_visible_keys) continue;
    add_row(drift, {maps.reference.data() + i * tokens, visible}, {maps.variant.data() + i * tokens, visible}, sink);
  }
  return drift;
}

void measure(const TextRuns& runs, std::span<MetricValue> values) {
  std::vector<AttentionDrift> heads(runs.heads);
  runs.pool.run(runs.heads,
                [&](std::size_t head, std::size_t) { heads[head] = drift_of(runs.maps(head), runs.ids.size()); });
  for (const AttentionDrift& drift : heads) {
    values[0].variant += drift.mean();
    values[1].variant += drift.mean_sink_shift();
    values[2].variant += drift.content_drift();
  }
  for (MetricValue& value : values) value.variant /= static_cast<double>(heads.size());
}

}  // namespace

const Metric& metric_attention_drift() {
  static const MetricColumn columns[] = {
      {"attention_drift", "D bits", "attention drift D", "bits", Judged::against_control},
      {"sink_shift", "sink shift bits", "", "bits"},
      {"content_drift", "content drift bits", "", "bits"}};
  static const Metric metric{
      "attention_drift",
      "D, the mean Jensen-Shannon divergence of attention rows with 8 or more visible keys, over all heads; its parts: "
      "sink shift, and content drift relative to the share of content",
      "Lin 1991 (grouping property)",
      "bits",
      Compared::attention,
      columns,
      measure};
  return metric;
}

}  // namespace vitrine
