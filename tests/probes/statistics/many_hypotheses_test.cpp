#include "probes/statistics/many_hypotheses.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "probes/statistics/estimate.h"

namespace vitrine {
namespace {

/// Items of clusters of unlike sizes; the first `moved` hypotheses have a mean of their own.
struct Sample {
  Sample(std::size_t items, std::size_t hypotheses, std::size_t clusters, std::size_t moved, std::uint64_t seed) : columns(hypotheses) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (std::size_t i = 0; i < items; ++i) {
      cluster.push_back(i < clusters ? i : random() % clusters);
      const double shared = normal(random);
      for (std::size_t h = 0; h < hypotheses; ++h) values.push_back(normal(random) + 0.5 * shared + (h < moved ? 2.0 : 0.0));
    }
  }
  HypothesisValues of() const { return {{values.data(), {cluster.size(), columns}}, cluster}; }
  std::vector<double> column(std::size_t h) const {
    std::vector<double> numbers;
    for (std::size_t i = h; i < values.size(); i += columns) numbers.push_back(values[i]);
    return numbers;
  }
  std::size_t columns;
  std::vector<double> values;
  std::vector<std::size_t> cluster;
};

TEST(MaxT, OfOneHypothesisIsTheSignFlipTest) {
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u}) {
    const Sample sample(23, 1, 7, seed % 2, seed);
    const StepDown tests = step_down_max_t(sample.of(), 10000, 0);
    EXPECT_TRUE(tests.all_flips);
    EXPECT_EQ(tests.flips, 64u);
    EXPECT_NEAR(tests.p[0], clustered_mean("", sample.values, sample.cluster).p.value(), 1e-12);
  }
}

/// By the definition: for each hypothesis the share of flips whose largest statistic among those not above it reaches it, made monotone.
TEST(MaxT, AgreesWithItsDefinition) {
  const Sample sample(19, 6, 8, 2, 11);
  const HypothesisValues of = sample.of();
  const StepDown tests = step_down_max_t(of, 10000, 0);
  std::vector<double> raw(6);
  const auto statistic = [&](std::size_t h, std::size_t flip) {
    std::vector<double> sums(8, 0.0);
    for (std::size_t i = 0; i < 19; ++i) sums[sample.cluster[i]] += of.values(i, h);
    double total = 0.0, squares = 0.0;
    for (std::size_t c = 0; c < 8; ++c) {
      total += (flip >> c & 1u) != 0 ? -sums[c] : sums[c];
      squares += sums[c] * sums[c];
    }
    return std::abs(total) / std::sqrt(squares);
  };
  for (std::size_t h = 0; h < 6; ++h) {
    EXPECT_NEAR(tests.statistic[h], statistic(h, 0), 1e-12);
    for (std::size_t flip = 0; flip < 256; ++flip) {
      double largest = 0.0;
      for (std::size_t k = 0; k < 6; ++k) {
        if (statistic(k, 0) <= statistic(h, 0) + 1e-12) largest = std::max(largest, statistic(k, flip));
      }
      raw[h] += largest >= statistic(h, 0) - 1e-9 ? 1.0 / 256 : 0.0;
    }
  }
  for (std::size_t h = 0; h < 6; ++h) {
    double adjusted = 0.0;
    for (std::size_t k = 0; k < 6; ++k) {
      if (tests.statistic[k] >= tests.statistic[h]) adjusted = std::max(adjusted, raw[k]);
    }
    EXPECT_NEAR(tests.p[h], adjusted, 1e-9) << h;
  }
}

/// Where nothing is moved, the smallest adjusted p falls below 5% in about 5% of the samples; bounds are 5 standard errors wide.
TEST(MaxT, KeepsTheFamilyErrorRate) {
  std::size_t rejected = 0;
  constexpr std::size_t samples = 400;
  for (std::uint64_t seed = 0; seed < samples; ++seed) {
    const StepDown tests = step_down_max_t(Sample(30, 20, 10, 0, 100 + seed).of(), 10000, 0);
    rejected += *std::ranges::min_element(tests.p) <= 0.05 ? 1 : 0;
  }
  EXPECT_GT(rejected, samples / 200);
  EXPECT_LT(rejected, samples * 21 / 200);
}

TEST(MaxT, RandomFlipsComeNearAll) {
  const Sample sample(40, 5, 13, 1, 3);
  const StepDown all = step_down_max_t(sample.of(), 10000, 0), some = step_down_max_t(sample.of(), 2000, 7);
  EXPECT_TRUE(all.all_flips);
  EXPECT_FALSE(some.all_flips);
  for (std::size_t h = 0; h < 5; ++h) EXPECT_NEAR(all.p[h], some.p[h], 5 * std::sqrt(0.25 / 2000) + 1e-3);
  EXPECT_GE(*std::ranges::min_element(some.p), 1.0 / 2001);
}

TEST(MaxT, ZeroEverywhereIsNoFinding) {
  const std::vector<double> values{0, 1, 0, 2, 0, 3};
  const StepDown tests = step_down_max_t({{values.data(), {3, 2}}, {}}, 100, 0);
  EXPECT_EQ(tests.p[0], 1.0);
  EXPECT_EQ(tests.p[1], 0.25);
}

TEST(SplitHalf, OfASteadyProfileIsOneAndOfNoiseIsNone) {
  Sample steady(40, 50, 20, 0, 5), noise(40, 400, 20, 0, 6);
  for (std::size_t i = 0; i < steady.values.size(); ++i) steady.values[i] = static_cast<double>(i % 50);
  EXPECT_NEAR(split_half(steady.of(), 50, 0).correlation, 1.0, 1e-12);
  const SplitHalf none = split_half(noise.of(), 50, 0);
  EXPECT_EQ(none.splits, 50u);
  EXPECT_LT(std::abs(none.correlation), 0.25);
  EXPECT_NEAR(none.corrected, 2 * none.correlation / (1 + none.correlation), 1e-12);
}

TEST(Quantile, IsLinearBetweenOrderStatistics) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(quantile({7}, 0.25), 7.0);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(AreaUnderCurve, CountsPairs) {
  EXPECT_DOUBLE_EQ(area_under_curve(std::vector<double>{3, 1, 2, 2}, {true, false, true, false}), 0.875);
  EXPECT_TRUE(std::isnan(area_under_curve(std::vector<double>{1}, {true})));
}

}  // namespace
}  // namespace vitrine
