#include <cmath>

#include "probes/metrics/metric.h"
#include "probes/statistics/log_normalizer.h"

// The mean of ln P(token | all before it) over tokens 2..n of a text: the first one has nothing before it. Perplexity
// is exp of minus its mean over the scored tokens of all texts (Jelinek et al. 1977).

namespace vitrine {
namespace {

double mean_log_likelihood(std::span<const float> logits, std::span<const std::int32_t> ids, ThreadPool& pool) {
  const std::size_t vocabulary = logits.size() / ids.size(), scored = ids.size() - 1;
  std::vector<double> rows(scored);
  pool.run(scored, [&](std::size_t i, std::size_t) {
    const std::span<const float> row = logits.subspan(i * vocabulary, vocabulary);
    rows[i] = row[static_cast<std::size_t>(ids[i + 1])] - log_normalizer(row);
  });
  double mean = 0.0;
  for (const double row : rows) mean += row / static_cast<double>(scored);
  return mean;
}

void measure(const TextRuns& runs, std::span<MetricValue> values) {
  values[0] = {.variant = mean_log_likelihood(runs.variant.logits, runs.ids, runs.pool),
               .reference = mean_log_likelihood(runs.reference.logits, runs.ids, runs.pool)};
}

double perplexity(std::span<const double> values, std::span<const std::size_t> tokens) {
  double sum = 0.0, scored = 0.0;
  for (std::size_t d = 0; d < values.size(); ++d) {
    const auto count = static_cast<double>(tokens[d] - 1);
    sum += values[d] * count;
    scored += count;
  }
  return std::exp(-sum / scored);
}

}  // namespace

const Metric& metric_likelihood() {
  static const MetricColumn columns[] = {{"loglikelihood", "perplexity", "log-likelihood change",
                                          "nats/token (likelihood)", Judged::as_change, Direction::higher, "%.4f",
                                          perplexity}};
  static const Metric metric{"likelihood",
                             "log-likelihood of the text, first token not scored; pooled as perplexity",
                             "Jelinek et al. 1977",
                             "nats a token",
                             Compared::predictions,
                             columns,
                             measure};
  return metric;
}

}  // namespace vitrine
