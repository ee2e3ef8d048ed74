#include "kernels/pattern/pattern.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "kernels/pattern/features.h"

namespace vitrine {

bool visible(const ScoreRule& score, const PatternRule& rule, std::size_t position, std::size_t key) {
  if (score.mask == Mask::causal && key > position) return false;
  const auto inside = [&](std::size_t window, std::size_t sinks) {
    const std::size_t distance = key > position ? key - position : position - key;
    return window == 0 || distance < window || key < sinks;
  };
  return inside(score.window, score.sinks) && inside(rule.window, rule.sinks);
}

std::optional<ScoreRule> narrowed(const ScoreRule& score, const PatternRule& rule) {
  if (rule.kind != PatternKind::softmax) return {};
  if (rule.window == 0) return score;
  ScoreRule both = score;
  if (score.window == 0) {
    both.window = rule.window;
    both.sinks = rule.sinks;
    return both;
  }
  if (score.sinks > 0 || rule.sinks > 0) return {};
  both.window = std::min(score.window, rule.window);
  return both;
}

namespace {

constexpr std::size_t lanes = 8;

/// Independent double sums, so that a map of a long text does not wait for one addition after the other.
double dot(const float* a, const float* b, std::size_t n) {
  double sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(a[i + lane]) * b[i + lane];
  }
  for (std::size_t lane = 0; i < n; ++i, ++lane) sums[lane] += static_cast<double>(a[i]) * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

namespace {

/// Features of rows [first, first + count): [count, features].
std::vector<float> features_of_rows(const PatternFactors& factors, TensorView<const float, 2> rows, std::size_t first, std::size_t count) {
  const std::size_t dim = rows.extent(1), width = feature_count(factors.rule, dim);
  std::vector<float> directions(direction_numbers(factors.rule, dim)), result(count * width);
  make_directions(factors.rule, dim, directions);
  for (std::size_t i = 0; i < count; ++i) {
    features_of({factors.rule, factors.score.scale, directions}, {&rows(first + i, 0), dim}, result.data() + i * width);
  }
  return result;
}

/// log sum_m phi(q)_m phi(k)_m, so that weights are exp(score - normalizer) for this rule too.
void feature_score_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile) {
  const std::size_t width = feature_count(factors.rule, factors.q.extent(1));
  const std::vector<float> q = features_of_rows(factors, factors.q, row, tile.extent(0)), k = features_of_rows(factors, factors.k, key, tile.extent(1));
  for (std::size_t i = 0; i < tile.extent(0); ++i) {
    for (std::size_t j = 0; j < tile.extent(1); ++j) {
      const bool seen = visible(factors.score, factors.rule, factors.q_start + row + i, key + j);
      tile(i, j) = seen ? static_cast<float>(std::log(dot(q.data() + i * width, k.data() + j * width, width)))
                        : -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace

void score_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile) {
  if (factors.rule.kind == PatternKind::feature_map) return feature_score_tile(factors, row, key, tile);
  VITRINE_CHECK(factors.rule.kind == PatternKind::softmax);
  for (std::size_t i = 0; i < tile.extent(0); ++i) {
    for (std::size_t j = 0; j < tile.extent(1); ++j) {
      if (!visible(factors.score, factors.rule, factors.q_start + row + i, key + j)) {
        tile(i, j) = -std::numeric_limits<float>::infinity();
        continue;
      }
      const double product = dot(&factors.q(row + i, 0), &factors.k(key + j, 0), factors.q.extent(1));
      const double score = product * factors.score.scale, cap = factors.score.soft_cap;
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
