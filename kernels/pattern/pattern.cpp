#include "kernels/pattern/pattern.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "core/base/half.h"
#include "kernels/pattern/features.h"
#include "kernels/pattern/score_terms.h"

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

RowMask::RowMask(const ScoreRule& score, const PatternRule& rule, std::size_t q_start, std::size_t row, std::size_t kv_len)
    : score_(score), rule_(rule), row_(row), position_(q_start + row) {
  if (rule.kind == PatternKind::softmax_blocks) blocks_ = KeyBlocks(rule, score.mask, position_ / rule.blocks.size, kv_len);
}

bool RowMask::sees(std::size_t key) const {
  if (!visible(score_, rule_, position_, key) || !is_allowed(score_, row_, key)) return false;
  return rule_.kind != PatternKind::softmax_blocks || blocks_.sees(key / rule_.blocks.size);
}

double exact_product(std::span<const float> q, std::span<const float> k) {
  constexpr std::size_t lanes = 8;  // independent, so that a long map does not wait for one addition after the other
  double sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= q.size(); i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(q[i + lane]) * k[i + lane];
  }
  for (std::size_t lane = 0; i < q.size(); ++i, ++lane) sums[lane] += static_cast<double>(q[i]) * k[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

float top_k_threshold(std::size_t k, std::span<float> scores) {
  constexpr float none = -std::numeric_limits<float>::infinity();
  if (scores.size() <= k) return none;
  for (float& score : scores) {
    if (std::isnan(score)) score = none;  // an order needs numbers
  }
  const auto kth = scores.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(scores.begin(), kth, scores.end(), std::greater<>());
  float next = none;  // the largest below the k-th; ties of the k-th may stand on both sides of it
  bool lower = false;
  for (auto score = kth + 1; score != scores.end(); ++score) {
    if (*score >= *kth) continue;
    lower = true;
    next = std::max(next, *score);
  }
  if (!lower) return none;
  const float between = next + (*kth - next) / 2;
  return between > next && between <= *kth ? between : *kth;
}

namespace {

constexpr float masked = -std::numeric_limits<float>::infinity();

/// v . tanh(q + k)
double additive_product(const ScoreRule& rule, std::span<const float> q, std::span<const float> k) {
  double sum = 0.0;
  for (std::size_t d = 0; d < q.size(); ++d) sum += static_cast<double>(rule.additive[d]) * std::tanh(static_cast<double>(q[d]) + k[d]);
  return sum;
}

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
    const RowMask mask(factors.score, factors.rule, factors.q_start, row + i, factors.k.extent(0));
    for (std::size_t j = 0; j < tile.extent(1); ++j) {
      tile(i, j) = mask.sees(key + j) ? static_cast<float>(std::log(exact_product({q.data() + i * width, width}, {k.data() + j * width, width})))
                                      : masked;
    }
  }
}

/// Rows as multiplied: those given, or with what is added to them, or rounded to bfloat16 where the kernel did so.
class MultipliedRows {
 public:
  MultipliedRows(const PatternRule& rule, TensorView<const float, 2> rows, std::size_t first, std::size_t count)
      : rows_(rows.slice(first, count)) {
    if (rule.bf16_factors) change([](float number, std::size_t) { return f32_from_bf16(bf16_from_f32(number)); });
  }
  /// Queries of one head.
  MultipliedRows(const PatternFactors& factors, std::size_t first, std::size_t count) : rows_(factors.q.slice(first, count)) {
    const ContentByDistance& content = factors.score.content;
    if (!content.empty()) change([&](float number, std::size_t d) { return number + content.key_bias(factors.head, d); });
    if (factors.rule.bf16_factors) change([](float number, std::size_t) { return f32_from_bf16(bf16_from_f32(number)); });
  }
  std::span<const float> operator[](std::size_t row) const { return {&rows_(row, 0), rows_.extent(1)}; }

 private:
  template <class Change>
  void change(const Change& to) {
    std::vector<float> numbers;
    numbers.reserve(rows_.extent(0) * rows_.extent(1));
    for (std::size_t i = 0; i < rows_.extent(0); ++i) {
      for (std::size_t d = 0; d < rows_.extent(1); ++d) numbers.push_back(to(rows_(i, d), d));
    }
    numbers_ = std::move(numbers);
    rows_ = {numbers_.data(), {rows_.extent(0), rows_.extent(1)}};
  }

  TensorView<const float, 2> rows_;
  std::vector<float> numbers_;
};

/// The product that a score is made of, before it is scaled. `query` and `key` as multiplied.
double product_of(const PatternFactors& factors, const ScorePlace& place, std::span<const float> query, std::span<const float> key) {
  if (factors.rule.kind == PatternKind::additive) return additive_product(factors.score, query, key);
  const double product = exact_product(query, key);
  if (factors.score.content.empty()) return product;
  return product + content_terms(factors.score, {&factors.q(place.row, 0), factors.q.extent(1)}, place);
}

}  // namespace

void score_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile) {
  if (factors.rule.kind == PatternKind::feature_map) return feature_score_tile(factors, row, key, tile);
  const bool top_k = factors.rule.kind == PatternKind::softmax_top_k;
  VITRINE_CHECK(!top_k || factors.threshold.size() == factors.q.extent(0));
  VITRINE_CHECK((factors.rule.kind == PatternKind::additive) == !factors.score.additive.empty());
  const MultipliedRows queries(factors, row, tile.extent(0)), keys(factors.rule, factors.k, key, tile.extent(1));
  for (std::size_t i = 0; i < tile.extent(0); ++i) {
    const RowMask mask(factors.score, factors.rule, factors.q_start, row + i, factors.k.extent(0));
    const float threshold = top_k ? factors.threshold[row + i] : masked;
    for (std::size_t j = 0; j < tile.extent(1); ++j) {
      tile(i, j) = masked;
      if (!mask.sees(key + j)) continue;
      const ScorePlace place{factors.head, row + i, factors.q_start + row + i, key + j};
      const float score = finished_score(factors.score, product_of(factors, place, queries[i], keys[j]), bias_at(factors.score, place));
      if (!(score < threshold)) tile(i, j) = score;
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
