#include "kernels/pattern/pattern.h"

#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace vitrine {

bool visible(const ScoreRule& score, const PatternRule& rule, std::size_t position, std::size_t key) {
  if (score.mask == Mask::causal && key > position) return false;
  const auto inside = [&](std::size_t window, std::size_t sinks) {
    const std::size_t distance = key > position ? key - position : position - key;
    return window == 0 || distance < window || key < sinks;
  };
  return inside(score.window, score.sinks) && inside(rule.window, rule.sinks);
}

void score_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile) {
  VITRINE_CHECK(factors.rule.kind == PatternKind::softmax);
  for (std::size_t i = 0; i < tile.extent(0); ++i) {
    for (std::size_t j = 0; j < tile.extent(1); ++j) {
      if (!visible(factors.score, factors.rule, factors.q_start + row + i, key + j)) {
        tile(i, j) = -std::numeric_limits<float>::infinity();
        continue;
      }
      double dot = 0.0;
      for (std::size_t d = 0; d < factors.q.extent(1); ++d) {
        dot += static_cast<double>(factors.q(row + i, d)) * factors.k(key + j, d);
      }
      const double score = dot * factors.score.scale, cap = factors.score.soft_cap;
      tile(i, j) = static_cast<float>(cap > 0.0 ? cap * std::tanh(score / cap) : score);
    }
  }
}

void pattern_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile) {
  score_tile(factors, row, key, tile);
  for (std::size_t i = 0; i < tile.extent(0); ++i) {
    const float normalizer = factors.normalizer[row + i];
    const bool empty_row = std::isinf(normalizer) && normalizer < 0;
    for (std::size_t j = 0; j < tile.extent(1); ++j) tile(i, j) = empty_row ? 0.0f : std::exp(tile(i, j) - normalizer);
  }
}

}  // namespace vitrine
