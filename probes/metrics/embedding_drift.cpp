#include <algorithm>
#include <cmath>

#include "probes/metrics/metric.h"

// ||e - e'|| / ||e||, where e is the mean of the rows after the final norm: the sentence as one vector (Reimers &
// Gurevych 2019, mean pooling).

namespace vitrine {
namespace {

void measure(const TextRuns& runs, std::span<MetricValue> values) {
  double difference = 0.0, size = 0.0;
  for (std::size_t c = 0; c < runs.reference.embedding.size(); ++c) {
    difference += std::pow(runs.variant.embedding[c] - runs.reference.embedding[c], 2);
    size += std::pow(runs.reference.embedding[c], 2);
  }
  values[0].variant = std::sqrt(difference / std::max(size, 1e-300));
}

}  // namespace

const Metric& metric_embedding_drift() {
  static const MetricColumn columns[] = {
      {"embedding_drift", "embedding drift", "embedding drift", "relative", Judged::against_control}};
  static const Metric metric{"embedding_drift",
                             "distance of the mean-pooled embedding from the reference's, relative to its length",
                             "Reimers & Gurevych 2019, arXiv:1908.10084 (mean pooling)",
                             "relative",
                             Compared::embedding,
                             columns,
                             measure};
  return metric;
}

}  // namespace vitrine
