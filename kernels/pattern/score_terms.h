#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "core/model/attention.h"

// What stands in a score beside the product of query and key, as it is defined: one query, one key, in double.

namespace vitrine {

/// A query among those of the problem, and a key.
struct ScorePlace {
  std::size_t head = 0;      ///< of queries
  std::size_t row = 0;       ///< of the problem's
  std::size_t position = 0;  ///< q_start + row
  std::size_t key = 0;
};

/// The entry of a table that begins at distance `first` which counts for `distance`. @param count  >= 1
inline std::size_t nearest_entry(std::ptrdiff_t distance, std::ptrdiff_t first, std::size_t count) {
  return static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(distance - first, 0, static_cast<std::ptrdiff_t>(count) - 1));
}

inline double distance_bias(const DistanceBias& bias, std::size_t head, std::ptrdiff_t distance) {
  double sum = 0.0;
  if (!bias.table.empty()) sum = bias.table(head, nearest_entry(distance, bias.first, bias.table.extent(1)));
  if (!bias.slope.empty()) sum += static_cast<double>(bias.slope[head]) * static_cast<double>(distance);
  return sum;
}

inline double bias_at(const ScoreRule& rule, const ScorePlace& place) {
  return rule.by_distance.empty() ? 0.0 : distance_bias(rule.by_distance, place.head, rule.distance(place.position, place.key));
}

inline bool is_allowed(const ScoreRule& rule, std::size_t row, std::size_t key) { return rule.allowed.empty() || rule.allowed(row, key); }

/// Number d of the query that meets the keys: q + u, in f32.
inline float key_query(const ContentByDistance& content, std::size_t head, std::span<const float> q, std::size_t d) {
  return content.empty() ? q[d] : q[d] + content.key_bias(head, d);
}

/// (q + w) . r + (q + s) . segment
inline double content_terms(const ScoreRule& rule, std::span<const float> q, const ScorePlace& place) {
  const ContentByDistance& content = rule.content;
  const std::size_t entry = nearest_entry(rule.distance(place.position, place.key), content.first, content.r.extent(0));
  double sum = 0.0;
  for (std::size_t d = 0; d < q.size(); ++d) {
    sum += static_cast<double>(q[d] + content.distance_bias(place.head, d)) * content.r(entry, place.head, d);
  }
  if (!content.has_segments()) return sum;
  const std::size_t other = content.query_segment[place.row] == content.key_segment[place.key] ? 0 : 1;
  for (std::size_t d = 0; d < q.size(); ++d) {
    sum += static_cast<double>(q[d] + content.segment_bias(place.head, d)) * content.segment(other, place.head, d);
  }
  return sum;
}

}  // namespace vitrine
