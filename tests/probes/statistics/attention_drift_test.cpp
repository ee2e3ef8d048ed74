#include "probes/statistics/attention_drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace vitrine {
namespace {

/// 95% on a sink, and the remaining 5% moves from one key to another: D = 0.05 bit, and inside the content all of it moved.
TEST(AttentionDrift, OfASinkHeadWhoseTargetMoves) {
  std::vector<float> reference(12, 0.0f), variant(12, 0.0f);
  reference[0] = variant[0] = 0.95f;
  reference[4] = 0.05f;
  variant[7] = 0.05f;
  std::vector<float> map;
  for (int row = 0; row < 12; ++row) map.insert(map.end(), reference.begin(), reference.end());
  const std::vector<bool> sink = sink_keys({map.data(), {12, 12}}, 11);
  EXPECT_TRUE(sink[0]);
  EXPECT_FALSE(sink[4]);
  AttentionDrift drift;
  add_row(drift, reference, variant, sink);
  EXPECT_NEAR(drift.mean(), 0.05, 1e-6);
  EXPECT_NEAR(drift.mean_sink_shift(), 0.0, 1e-9);
  EXPECT_NEAR(drift.content_drift(), 1.0, 1e-6);
}

TEST(AttentionDrift, IsTheSumOfItsParts) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> p(20), q(20);
    double p_sum = 0.0, q_sum = 0.0;
    for (std::size_t j = 0; j < 20; ++j) {
      p_sum += p[j] = uniform(random) < 0.3f ? 0.0f : uniform(random);
      q_sum += q[j] = uniform(random);
    }
    std::vector<double> p_exact, q_exact;
    for (std::size_t j = 0; j < 20; ++j) {
      p_exact.push_back(p[j] /= static_cast<float>(p_sum));
      q_exact.push_back(q[j] /= static_cast<float>(q_sum));
    }
    std::vector<bool> sink(20, false);
    sink[0] = sink[3] = true;
    AttentionDrift drift;
    add_row(drift, p, q, sink);
    EXPECT_NEAR(drift.total, jensen_shannon(p_exact, q_exact), 1e-12);
    EXPECT_NEAR(drift.total, drift.sink_shift + drift.content_part, 1e-12);
    EXPECT_LE(drift.content_drift(), 1.0 + 1e-6);
    AttentionDrift none;
    add_row(none, p, p, sink);
    EXPECT_EQ(none.mean(), 0.0);
  }
}

TEST(AttentionDrift, DisjointRowsAreOneBitApart) {
  EXPECT_NEAR(jensen_shannon(std::vector<double>{1, 0}, std::vector<double>{0, 1}), 1.0, 1e-15);
  EXPECT_EQ(jensen_shannon(std::vector<double>{0.5, 0.5}, std::vector<double>{0.5, 0.5}), 0.0);
}

}  // namespace
}  // namespace vitrine
