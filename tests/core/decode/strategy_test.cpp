#include "core/decode/strategy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace vitrine {
namespace {

const Strategy& named(std::string_view name) {
  return **std::ranges::find_if(all_strategies(), [&](const Strategy* strategy) { return strategy->name == name; });
}

/// The definition: sort everything, keep the smallest set whose mass reaches top_p, draw from it.
TokenId drawn(const std::vector<float>& logits, const SamplingOptions& options, double random) {
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](TokenId a, TokenId b) { return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)]; });
  std::vector<double> weights;
  for (const TokenId id : order) {
    weights.push_back(std::exp((logits[static_cast<std::size_t>(id)] - static_cast<double>(logits[static_cast<std::size_t>(order[0])])) / options.temperature));
  }
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::size_t count = 0;
  double mass = 0.0;
  while (count < weights.size() && (count == 0 || mass < options.top_p * total)) mass += weights[count++];
  double target = random * mass;
  for (std::size_t i = 0; i < count; ++i) {
    if ((target -= weights[i]) < 0.0) return order[i];
  }
  return order[count - 1];
}

TEST(Sample, DrawsAsTheDefinitionDoes) {
  std::mt19937 random(7);
  std::size_t beyond_first_run = 0;
  for (const std::size_t vocabulary : {1u, 2u, 127u, 128u, 129u, 1025u, 20000u}) {
    for (const float temperature : {0.2f, 1.0f, 5.0f}) {
      for (const float top_p : {0.05f, 0.9f, 0.999f, 1.0f}) {
        std::vector<float> logits(vocabulary);
        std::normal_distribution<float> normal(0.0f, 3.0f);
        for (float& logit : logits) logit = std::round(normal(random) * 8.0f) / 8.0f;  // with equals among them
        for (int draw = 0; draw < 5; ++draw) {
          const double u = std::uniform_real_distribution<double>(0.0, 1.0)(random);
          const SamplingOptions options{temperature, top_p, 0};
          const TokenId expected = drawn(logits, options, u);
          EXPECT_EQ(named("sample").choose(logits, options, u), expected) << vocabulary << " tokens, T " << temperature << ", p " << top_p;
          beyond_first_run += std::ranges::count_if(logits, [&](float x) { return x > logits[static_cast<std::size_t>(expected)]; }) > 128;
        }
      }
    }
  }
  EXPECT_GT(beyond_first_run, 0u) << "nothing was drawn from where sorting goes on";
}

TEST(Sample, WhatIsNoNumberIsNotDrawnBeforeNumbers) {
  std::vector<float> logits(300, std::numeric_limits<float>::quiet_NaN());
  logits[7] = 1.0f;
  EXPECT_EQ(named("sample").choose(logits, {1.0f, 0.5f, 0}, 0.3), 7);
}

}  // namespace
}  // namespace vitrine
