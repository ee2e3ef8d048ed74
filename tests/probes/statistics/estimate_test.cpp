#include "probes/statistics/estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/error.h"

// Numbers named "scipy" were computed with scipy 1.x (binomtest, t.interval, ttest_1samp); the CR2 case with the matrices of
// its definition in numpy.

namespace vitrine {
namespace {

TEST(BinomialShare, AgreesWithScipy) {
  struct Case {
    std::size_t k, n;
    double low, high, inner_low, inner_high, p;
  };
  for (const Case& c : {Case{0, 10, 0.0, 0.30849710781876294, 0.0, 0.25886555089334723, 0.001953125},
                        Case{7, 10, 0.3475471499399921, 0.9332604888222655, 0.39337578389442357, 0.9127355660858497, 0.34375},
                        Case{61, 100, 0.5073144796322998, 0.7059895851465829, 0.5230939214468381, 0.6918993366112055, 0.035200200217704855},
                        Case{238, 420, 0.5177552256960446, 0.614632363664527, 0.5254459759161787, 0.607185357581558, 0.007208666505231919}}) {
    const Estimate estimate = binomial_share("share", c.k, c.n);
    EXPECT_NEAR(estimate.low, c.low, 1e-9);
    EXPECT_NEAR(estimate.high, c.high, 1e-9);
    EXPECT_NEAR(estimate.inner_low, c.inner_low, 1e-9);
    EXPECT_NEAR(estimate.inner_high, c.inner_high, 1e-9);
    EXPECT_NEAR(*estimate.p, c.p, 1e-9);
    EXPECT_EQ(estimate.low > 0.5 || estimate.high < 0.5, *estimate.p < 0.05);  // the interval inverts the test
  }
  EXPECT_EQ(binomial_share("none", 0, 0).verdict, Verdict::not_measurable);
}

/// One item a cluster is the ordinary one-sample t test.
TEST(ClusteredMean, WithoutClustersIsTheTTest) {
  const std::vector<double> values{0.3, -0.1, 0.5, 0.2, 0.9, -0.4, 0.6, 0.1, 0.0, 0.7, 0.35, -0.2};
  const Estimate estimate = clustered_mean("x", values, {});
  EXPECT_NEAR(estimate.value, 0.24583333333333332, 1e-12);
  EXPECT_NEAR(estimate.low, -0.0007874211666727693, 1e-9);
  EXPECT_NEAR(estimate.high, 0.49245408783333944, 1e-9);
  EXPECT_NEAR(estimate.inner_low, 0.04460413969103835, 1e-9);
  EXPECT_NEAR(*estimate.p, 0.05061735482252901, 1e-9);
}

TEST(ClusteredMean, IsCr2WithItsDegreesOfFreedom) {
  const std::vector<double> values{0.1, 0.2, 0.35, -0.3, 0.8, 0.75, 0.9, -0.05, 0.4, 0.45, 0.5, -0.6, 0.05, 0.3, 1.1, 0.2, -0.15, 0.6, 0.55, 0.0, 0.25, 0.7};
  const std::vector<std::size_t> cluster{0, 0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 7, 8, 8, 9, 9, 9, 10, 11};
  const Estimate estimate = clustered_mean("x", values, cluster);
  EXPECT_EQ(estimate.clusters, 12u);
  EXPECT_NEAR(estimate.low, 0.07843416812504289, 1e-9);
  EXPECT_NEAR(estimate.high, 0.5670203773295025, 1e-9);
  EXPECT_NEAR(*estimate.p, 0.015428103800333954, 1e-9);
}

TEST(ClusteredMean, FewClustersArePermuted) {
  const std::vector<double> values{1.0, 2.0, 3.0, 4.0, 5.0, 6.0};  // six clusters: the smallest possible p is 2 / 64
  const Estimate estimate = clustered_mean("x", values, {});
  EXPECT_NEAR(*estimate.p, 2.0 / 64.0, 1e-12);
  EXPECT_GT(estimate.low, 0.0);
  EXPECT_NEAR(estimate.low + estimate.high, 7.0, 1e-6);  // symmetric values
  const Estimate five = clustered_mean("x", std::vector<double>{1, 1, 1, 1, 1}, {});
  EXPECT_TRUE(std::isinf(five.low));  // 2 / 32 > 0.05: nothing can be excluded
  EXPECT_EQ(clustered_mean("x", std::vector<double>{1, 2}, std::vector<std::size_t>{4, 4}).verdict, Verdict::not_measurable);
}

/// Intervals of clustered data hold the truth about as often as they say; without the clusters they do not.
TEST(ClusteredMean, CoversAsOftenAsItSays) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  int covered = 0, covered_without = 0;
  constexpr int rounds = 600;
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> values;
    std::vector<std::size_t> cluster;
    for (std::size_t g = 0; g < 14; ++g) {
      const double shift = normal(random);
      for (std::size_t i = 0; i < 1 + g % 6; ++i) {
        values.push_back(shift + 0.3 * normal(random));
        cluster.push_back(g);
      }
    }
    const Estimate with = clustered_mean("x", values, cluster), without = clustered_mean("x", values, {});
    covered += with.low <= 0.0 && with.high >= 0.0 ? 1 : 0;
    covered_without += without.low <= 0.0 && without.high >= 0.0 ? 1 : 0;
  }
  EXPECT_NEAR(covered / double{rounds}, 0.95, 0.025);
  EXPECT_LT(covered_without / double{rounds}, 0.85);
}

TEST(Judge, TellsTheFourVerdictsApart) {
  Estimate estimate;
  const auto verdict = [&](double low, double high, std::optional<double> margin) {
    estimate.verdict = Verdict::inconclusive;
    estimate.low = estimate.inner_low = low;
    estimate.high = estimate.inner_high = high;
    judge(estimate, 0.0, margin);
    return estimate.verdict;
  };
  EXPECT_EQ(verdict(0.2, 0.4, 0.1), Verdict::differs);
  EXPECT_EQ(verdict(-0.05, 0.05, 0.1), Verdict::equivalent);
  EXPECT_EQ(verdict(0.01, 0.05, 0.1), Verdict::trivial);
  EXPECT_EQ(verdict(-0.2, 0.4, 0.1), Verdict::inconclusive);
  EXPECT_NE(estimate.reason.find("4 of 5"), std::string::npos);
  EXPECT_EQ(verdict(-0.05, 0.05, {}), Verdict::inconclusive);  // no margin, no equivalence
}

TEST(EstimateJson, ComesBackTheSame) {
  Estimate estimate = binomial_share("share of x", 61, 100);
  judge(estimate, 0.5, 0.02);
  estimate.control = 0.51;
  estimate.family = "categories";
  const Json json = to_json(estimate);
  EXPECT_EQ(to_json(estimate_from_json(json, "test")).dump(), json.dump());
  EXPECT_THROW(estimate_from_json(Json("no"), "test"), Error);
  EXPECT_THROW(estimate_from_json(to_json(estimate).set("verdict", "excellent"), "test"), Error);
  EXPECT_THROW(estimate_from_json(to_json(estimate).set("low", "far"), "test"), Error);
  EXPECT_THROW(estimate_from_json(Json::object().set("name", "x"), "test"), Error);
  EXPECT_EQ(to_json(not_measurable("x", "nats", "why"))["value"].is_null(), true);
}

}  // namespace
}  // namespace vitrine
