#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <span>

#include "core/model/attention.h"
#include "kernels/pattern/key_blocks.h"

namespace vitrine {

/// What any tile of an attention map is rebuilt from, for one head of one sequence: the factors as multiplied.
struct PatternFactors {
  TensorView<const float, 2> q;       ///< [q_len, head_dim] rotated
  TensorView<const float, 2> k;       ///< [kv_len, head_dim] rotated, as the cache held them
  std::span<const float> normalizer;  ///< [q_len] log-sum-exp; -inf: a row of zeros
  ScoreRule score;                    ///< as the model asks
  PatternRule rule;                   ///< as the kernel really applies
  std::size_t q_start = 0;            ///< position of q's first row
  std::span<const float> threshold{}; ///< [q_len] of a top-k rule: scores below it do not count; empty for other rules
  std::size_t head = 0;               ///< of the queries: whose biases count, where the score rule has any
};

/// Rows [row, row + tile.extent(0)) and keys [key, key + tile.extent(1)) of the pattern A; 0 where masked.
void pattern_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile);

/// The same of the scores before the softmax; -inf where masked.
void score_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile);

/// Whether the query at `position` sees key `key` under both rules' masks and windows; blocks and `allowed` are RowMask's.
bool visible(const ScoreRule& score, const PatternRule& rule, std::size_t position, std::size_t key);

/// What one query sees under both rules: the one definition of the mask.
class RowMask {
 public:
  /// Of query row `row`, at position q_start + row. Both rules must outlive it.
  RowMask(const ScoreRule& score, const PatternRule& rule, std::size_t q_start, std::size_t row, std::size_t kv_len);
  bool sees(std::size_t key) const;

 private:
  const ScoreRule& score_;
  const PatternRule& rule_;
  std::size_t row_, position_;
  KeyBlocks blocks_;
};

/// A score from the product q . k (or v . tanh(q + k)): scaled, with its bias, capped. `softmax_top_k` compares these very
/// numbers.
inline float finished_score(const ScoreRule& rule, double product, double bias) {
  const double score = product * rule.scale + bias, cap = rule.soft_cap;
  return static_cast<float>(cap > 0.0 ? cap * std::tanh(score / cap) : score);
}

/// q . k in eight sums of doubles, whose terms are exact: other code that adds in this order gets the same bits.
/// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)), sum i over the places i, i + 8, ...
double exact_product(std::span<const float> q, std::span<const float> k);

/// From which score the k largest begin: between the k-th largest and the next lower one, so that a score which is made
/// again from rounded factors falls on the same side. Scores equal to the k-th all count; -inf where no more than k are
/// visible.
/// @param k       >= 1
/// @param scores  of the visible keys; in another order afterwards
float top_k_threshold(std::size_t k, std::span<float> scores);

/// One softmax rule that sees what both see; none where a single window with its sinks can't say that, or for other kinds.
std::optional<ScoreRule> narrowed(const ScoreRule& score, const PatternRule& rule);

}  // namespace vitrine
