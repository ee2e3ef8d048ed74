#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "core/model/attention.h"

namespace vitrine {

/// What any tile of an attention map is rebuilt from, for one head of one sequence: the factors as multiplied.
struct PatternFactors {
  TensorView<const float, 2> q;       ///< [q_len, head_dim] rotated
  TensorView<const float, 2> k;       ///< [kv_len, head_dim] rotated, as the cache held them
  std::span<const float> normalizer;  ///< [q_len] log-sum-exp; -inf: a row of zeros
  ScoreRule score;                    ///< as the model asks
  PatternRule rule;                   ///< as the kernel really applies
  std::size_t q_start = 0;            ///< position of q's first row
};

/// Rows [row, row + tile.extent(0)) and keys [key, key + tile.extent(1)) of the pattern A; 0 where masked.
void pattern_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile);

/// The same of the scores before the softmax; -inf where masked.
void score_tile(const PatternFactors& factors, std::size_t row, std::size_t key, TensorView<float, 2> tile);

/// Whether the query at `position` sees key `key` under both rules: the one definition of the mask.
bool visible(const ScoreRule& score, const PatternRule& rule, std::size_t position, std::size_t key);

/// One softmax rule that sees what both see; none where a single window with its sinks can't say that, or for other kinds.
std::optional<ScoreRule> narrowed(const ScoreRule& score, const PatternRule& rule);

}  // namespace vitrine
