#include <cmath>

#include "probes/metrics/metric.h"
#include "probes/statistics/log_normalizer.h"

// With p the reference's and q the variant's distribution of the next token, averaged over the positions of a text:
// KL = sum_v p ln(p / q), in nats (Kullback & Leibler 1951), and JSD = sum_v (p log2(p / m) + q log2(q / m)) / 2 with
// m = (p + q) / 2, in bits (Lin 1991).

namespace vitrine {
namespace {

struct Row {
  double kl = 0.0, jsd = 0.0;
};

Row divergence(std::span<const float> reference, std::span<const float> variant) {
  const double reference_sum = log_normalizer(reference), variant_sum = log_normalizer(variant);
  Row row;
  for (std::size_t v = 0; v < reference.size(); ++v) {
    const double log_p = reference[v] - reference_sum, log_q = variant[v] - variant_sum;
    const double p = std::exp(log_p), q = std::exp(log_q), middle = (p + q) / 2.0;
    row.kl += p * (log_p - log_q);
    if (middle > 0.0)
      row.jsd += (p > 0.0 ? p * std::log2(p / middle) : 0.0) / 2.0 + (q > 0.0 ? q * std::log2(q / middle) : 0.0) / 2.0;
  }
  return row;
}

void measure(const TextRuns& runs, std::span<MetricValue> values) {
  const std::size_t tokens = runs.ids.size(), vocabulary = runs.reference.logits.size() / tokens;
  std::vector<Row> rows(tokens);
  runs.pool.run(tokens, [&](std::size_t i, std::size_t) {
    rows[i] = divergence(runs.reference.logits.subspan(i * vocabulary, vocabulary),
                         runs.variant.logits.subspan(i * vocabulary, vocabulary));
  });
  for (const Row& row : rows) {
    values[0].variant += row.kl / static_cast<double>(tokens);
    values[1].variant += row.jsd / static_cast<double>(tokens);
  }
}

}  // namespace

const Metric& metric_divergence() {
  static const MetricColumn columns[] = {
      {"kl", "KL nats/token", "KL to the reference", "nats/token", Judged::against_control},
      {"jsd", "JSD bits/token", "", "bits/token"}};
  static const Metric metric{"divergence",
                             "Kullback-Leibler and Jensen-Shannon divergence of the predictions from the reference's",
                             "Kullback & Leibler 1951; Lin 1991",
                             "nats a token, bits a token",
                             Compared::predictions,
                             columns,
                             measure};
  return metric;
}

}  // namespace vitrine
