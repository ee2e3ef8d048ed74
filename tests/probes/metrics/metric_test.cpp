#include "probes/metrics/metric.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

namespace vitrine {
namespace {

constexpr std::size_t tokens = 12, vocabulary = 5, width = 3, heads = 2;
constexpr std::int32_t ids[tokens] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1};

std::vector<float> random_logits(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> logits(tokens * vocabulary);
  for (float& each : logits) each = normal(random);
  return logits;
}

/// Causal maps; head 0 looks back evenly, head 1 at itself only.
std::vector<float> map_of(std::size_t head) {
  std::vector<float> map(tokens * tokens, 0.0f);
  for (std::size_t i = 0; i < tokens; ++i) {
    for (std::size_t j = 0; j <= i; ++j)
      map[i * tokens + j] = head == 0 ? 1.0f / static_cast<float>(i + 1) : j == i ? 1.0f : 0.0f;
  }
  return map;
}

class Metrics : public testing::Test {
 protected:
  /// What every metric says of two runs, by column.
  std::vector<std::pair<std::string, MetricValue>> measured(std::span<const float> variant, double moved,
                                                            bool swapped) {
    const std::vector<double> embedding{3.0, 0.0, 4.0}, other{3.0, moved, 4.0};
    const auto maps = [&](std::size_t head) { return HeadMaps{map_of(head), map_of(swapped ? 1 - head : head), true}; };
    const TextRuns runs{ids, {logits_, embedding}, {variant, other}, heads, maps, pool_};
    std::vector<std::pair<std::string, MetricValue>> all;
    for (const Metric* metric : all_metrics()) {
      std::vector<MetricValue> values(metric->columns.size());
      metric->measure(runs, values);
      for (std::size_t c = 0; c < values.size(); ++c) all.emplace_back(metric->columns[c].name, values[c]);
    }
    return all;
  }
  static MetricValue value_of(const std::vector<std::pair<std::string, MetricValue>>& all, std::string_view name) {
    for (const auto& [column, value] : all) {
      if (column == name) return value;
    }
    ADD_FAILURE() << "no column " << name;
    return {};
  }
  const std::vector<float> logits_ = random_logits(1);
  ThreadPool pool_{2};
};

TEST_F(Metrics, SayWhatTheyAre) {
  std::set<std::string_view> names, headings;
  for (const Metric* metric : all_metrics()) {
    EXPECT_FALSE(metric->summary.empty() || metric->source.empty() || metric->unit.empty() || metric->columns.empty())
        << metric->name;
    for (const MetricColumn& column : metric->columns) {
      EXPECT_TRUE(names.insert(column.name).second) << "two columns " << column.name;
      EXPECT_TRUE(headings.insert(column.heading).second) << "two headings " << column.heading;
      EXPECT_EQ(column.judged != Judged::never, !column.estimate.empty()) << column.name;
    }
  }
  EXPECT_GE(names.size(), 7u);
}

TEST_F(Metrics, FindNoDifferenceBetweenEqualRuns) {
  for (const auto& [column, value] : measured(logits_, 0.0, false)) EXPECT_EQ(value.variant, value.reference) << column;
}

TEST_F(Metrics, GrowWithTheDifference) {
  const auto all = measured(random_logits(2), 12.0, true);
  for (const auto& [column, value] : all) {
    EXPECT_TRUE(column == "sink_shift" || value.variant != value.reference) << column;
  }
  EXPECT_GT(value_of(all, "kl").variant, 0.0);
  EXPECT_DOUBLE_EQ(value_of(all, "embedding_drift").variant, 12.0 / 5.0);
}

TEST_F(Metrics, MatchHandMadeDistributions) {
  std::vector<float> even(tokens * vocabulary, 0.7f);
  const auto all = measured(even, 0.0, false);
  double kl = 0.0, likelihood = 0.0;
  for (std::size_t i = 0; i < tokens; ++i) {
    double sum = 0.0, entropy = 0.0;
    for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(logits_[i * vocabulary + v]);
    for (std::size_t v = 0; v < vocabulary; ++v) {
      const double p = std::exp(logits_[i * vocabulary + v]) / sum;
      entropy -= p * std::log(p);
    }
    kl += (std::log(vocabulary) - entropy) / tokens;
    if (i + 1 < tokens)
      likelihood += (logits_[i * vocabulary + static_cast<std::size_t>(ids[i + 1])] - std::log(sum)) / (tokens - 1);
  }
  EXPECT_NEAR(value_of(all, "kl").variant, kl, 1e-6);
  EXPECT_NEAR(value_of(all, "loglikelihood").variant, -std::log(vocabulary), 1e-12);
  EXPECT_NEAR(value_of(all, "loglikelihood").reference, likelihood, 1e-6);
}

TEST_F(Metrics, PoolLikelihoodsByScoredTokens) {
  for (const Metric* metric : all_metrics()) {
    for (const MetricColumn& column : metric->columns) {
      if (column.name != "loglikelihood") continue;
      const std::vector<double> values{-1.0, -4.0};
      const std::vector<std::size_t> lengths{3, 2};
      EXPECT_DOUBLE_EQ(column.pool(values, lengths), std::exp((2.0 * 1.0 + 1.0 * 4.0) / 3.0));
    }
  }
}

}  // namespace
}  // namespace vitrine
