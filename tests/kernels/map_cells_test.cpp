#include "kernels/pattern/map_cells.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

std::vector<float> random_numbers(std::size_t count, unsigned seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

ScoreRule masked(Mask mask, std::size_t window, float soft_cap = 0.0f) {
  ScoreRule rule;
  rule.mask = mask;
  rule.window = window;
  rule.soft_cap = soft_cap;
  return rule;
}

/// A head with its normalizer made from its own scores.
struct Map {
  Map(std::size_t rows, std::size_t keys, std::size_t dim, ScoreRule score, PatternRule rule)
      : q(random_numbers(rows * dim, 1, 2.0f)), k(random_numbers(keys * dim, 2, 2.0f)), normalizer(rows), threshold(rows, -std::numeric_limits<float>::infinity()) {
    factors.q = {q.data(), {rows, dim}};
    factors.k = {k.data(), {keys, dim}};
    factors.normalizer = normalizer;
    factors.score = score;
    factors.rule = rule;
    factors.score.scale = 1.0f / std::sqrt(static_cast<float>(dim));
    factors.q_start = score.mask == Mask::causal ? keys - rows : 0;
    if (rule.kind == PatternKind::softmax_top_k) factors.threshold = threshold;
    std::vector<float> scores(keys);
    for (std::size_t i = 0; i < rows; ++i) {
      score_tile(factors, i, 0, {scores.data(), {1, keys}});
      double sum = 0.0;
      for (const float number : scores) sum += std::exp(static_cast<double>(number));
      normalizer[i] = sum > 0.0 ? static_cast<float>(std::log(sum)) : -std::numeric_limits<float>::infinity();
    }
  }

  /// Rows of all keys against the whole map, pooled by hand.
  void check(std::size_t row, std::size_t rows, std::size_t cell) const { check({row, rows, 0, factors.k.extent(0)}, cell); }
  void check(const MapPart& part, std::size_t cell) const {
    const std::size_t down = (part.rows + cell - 1) / cell, across = (part.keys + cell - 1) / cell;
    std::vector<float> whole(part.rows * part.keys), largest(down * across, -1.0f), sum(down * across, -1.0f);
    pattern_tile(factors, part.row, part.key, {whole.data(), {part.rows, part.keys}});
    map_cells(factors, part, {cell, {largest.data(), {down, across}}, {sum.data(), {down, across}}});
    std::vector<double> top(down * across, 0.0), total(down * across, 0.0);
    for (std::size_t i = 0; i < part.rows; ++i) {
      for (std::size_t j = 0; j < part.keys; ++j) {
        const std::size_t at = i / cell * across + j / cell;
        top[at] = std::max(top[at], static_cast<double>(whole[i * part.keys + j]));
        total[at] += static_cast<double>(whole[i * part.keys + j]);
      }
    }
    for (std::size_t at = 0; at < top.size(); ++at) {
      ASSERT_NEAR(largest[at], top[at], 2e-5 * top[at] + 1e-30) << "cell " << at << " of " << down << " x " << across;
      ASSERT_NEAR(sum[at], total[at], 2e-5 * total[at] + 1e-30) << "cell " << at << " of " << down << " x " << across;
    }
  }

  std::vector<float> q, k, normalizer, threshold;
  PatternFactors factors;
};

class Cells : public EverySimdTarget {};
INSTANTIATE_EVERY_SIMD_TARGET(Cells);

TEST_P(Cells, AreTheWholeMapPooled) {
  const std::vector<ScoreRule> scores{masked(Mask::causal, 0), masked(Mask::none, 0),
                                      masked(Mask::causal, 50), masked(Mask::none, 37),
                                      masked(Mask::causal, 0, 5.0f)};
  for (const ScoreRule& score : scores) {
    for (const bool bf16 : {false, true}) {
      PatternRule rule;
      rule.bf16_factors = bf16;
      Map(300, 300, 20, score, rule).check(0, 300, 8);
      Map(96, 345, 64, score, rule).check(32, 64, 16);
      Map(33, 1025, 7, score, rule).check(0, 33, 8);
      Map(130, 130, 128, score, rule).check(64, 66, 64);
      for (const std::size_t cell : {1u, 2u, 4u, 8u}) Map(300, 300, 24, score, rule).check({64, 131, 8, 273}, cell);  // a tile of the viewer
    }
    PatternRule windowed;
    windowed.window = 21;
    Map(128, 300, 16, score, windowed).check(0, 128, 16);
    windowed.sinks = 3;
    Map(128, 300, 16, score, windowed).check(0, 128, 16);
  }
  PatternRule blocks;
  blocks.kind = PatternKind::softmax_blocks;
  blocks.blocks = {.size = 16, .window = 1, .stride = 3, .global = 1, .random = 1};
  Map(128, 128, 16, scores.front(), blocks).check(0, 128, 8);
  Map(128, 128, 16, scores.front(), blocks).check({32, 50, 16, 100}, 2);
}

/// Queries that see nothing are rows of zeros, also where the scores that nobody sees are huge.
TEST(MapCells, RowsThatSeeNothingAreZero) {
  Map map(64, 64, 16, masked(Mask::causal, 0), {});
  std::fill_n(map.normalizer.begin(), 16, -std::numeric_limits<float>::infinity());
  std::fill_n(map.k.begin() + 40 * 16, 16, 1e30f);
  for (std::size_t i = 40; i < 64; ++i) map.normalizer[i] = -std::numeric_limits<float>::infinity();
  map.check(0, 64, 8);
}

TEST(MapCells, APyramidBeginsWithAtMost256Squares) {
  EXPECT_EQ(pyramid_cell(1025), 8u);
  EXPECT_EQ(pyramid_cell(2048), 8u);
  EXPECT_EQ(pyramid_cell(2049), 16u);
  EXPECT_EQ(pyramid_cell(8192), 32u);
}

}  // namespace
}  // namespace vitrine
