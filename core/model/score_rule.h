#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/model/spec.h"
#include "core/tensor/bit_view.h"
#include "core/tensor/tensor_view.h"

namespace vitrine {

/// What is added to a scaled score for how far the key stands from the query: table[h, distance - first] + slope[h] * distance,
/// where distance = key - query, so that keys before the query have negative ones. Either part may be empty.
struct DistanceBias {
  TensorView<const float, 2> table{};  ///< [heads, distances] (T5); outside, the nearest distance counts; -inf hides a key (not under a cap)
  std::ptrdiff_t first = 0;            ///< distance of the table's first column
  std::span<const float> slope{};      ///< [heads] (ALiBi, Press et al. 2022: positive under a causal mask)

  bool empty() const { return table.empty() && slope.empty(); }
};

/// Scores in which the distance meets what the query holds (Dai et al. 2019, arXiv:1901.02860; Yang et al. 2019, arXiv:1906.08237):
///   (q[i] + u) . k[j] + (q[i] + w) . r[distance] + (q[i] + s) . segment[a query's segment is the key's ? 0 : 1]
/// The sums are made in f32. Heads are those of queries.
struct ContentByDistance {
  TensorView<const float, 3> r{};         ///< [distances, heads, head_dim] projected positions; outside, the nearest counts
  std::ptrdiff_t first = 0;               ///< distance of the first of them, as in DistanceBias
  TensorView<const float, 2> key_bias{};       ///< u [heads, head_dim]
  TensorView<const float, 2> distance_bias{};  ///< w [heads, head_dim]
  TensorView<const float, 3> segment{};        ///< [2, heads, head_dim]: of the same segment, of another; may be empty
  TensorView<const float, 2> segment_bias{};   ///< s [heads, head_dim], where there are segments
  std::span<const std::int32_t> query_segment{};  ///< [q_len], of the problem's own rows
  std::span<const std::int32_t> key_segment{};    ///< [kv_len]

  bool empty() const { return r.empty(); }
  bool has_segments() const { return !segment.empty(); }
};

/// How scores are made and which of them count. Query row i stands at position q_start + i, key row j at j.
/// score = cap(scale * product + by_distance), with cap(x) = soft_cap * tanh(x / soft_cap).
struct ScoreRule {
  float scale = 1.0f;
  float soft_cap = 0.0f;  ///< > 0: scores are capped
  Mask mask = Mask::causal;
  std::size_t window = 0;  ///< > 0: key j is visible only where position - j < window
  std::size_t sinks = 0;   ///< with a window: the first keys, always visible
  std::span<const float> additive{};  ///< v of scores v . tanh(q + k) (Bahdanau et al. 2014), [head_dim]; empty: scores q . k
  DistanceBias by_distance{};
  ContentByDistance content{};        ///< empty: the product is q . k (or the additive one)
  BitView allowed{};                  ///< [q_len, kv_len], of the problem's own rows: besides the mask, 0 hides a key; may be empty
  std::ptrdiff_t distance_shift = 0;  ///< of a part of a longer problem, whose positions are counted from elsewhere

  std::ptrdiff_t distance(std::size_t position, std::size_t key) const {
    return static_cast<std::ptrdiff_t>(key) - static_cast<std::ptrdiff_t>(position) + distance_shift;
  }
  /// The rule of query rows [first, first + count).
  ScoreRule of_rows(std::size_t first, std::size_t count) const {
    ScoreRule part = *this;
    part.allowed = allowed.slice(first, count);
    if (content.has_segments()) part.content.query_segment = content.query_segment.subspan(first, count);
    return part;
  }
  /// The rule where only keys [first, first + count) are there, counted from 0, and positions from `first` too. The sinks
  /// are the caller's.
  ScoreRule of_keys(std::size_t first, std::size_t count) const {
    ScoreRule part = *this;
    if (!allowed.empty()) part.allowed = allowed.columns_from(first, count);
    if (content.has_segments()) part.content.key_segment = content.key_segment.subspan(first, count);
    return part;
  }
};

}  // namespace vitrine
