#pragma once

#include <cstdint>
#include <queue>
#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// A part of a text on its way to being a token; parts form a chain.
struct MergePart {
  TokenId id = -1;
  std::size_t begin = 0, end = 0;   ///< bytes
  std::int32_t before = -1, after = -1;  ///< neighbours, -1 at the ends
};

struct MergeRule {
  double priority;  ///< the highest goes first, the leftmost among equals
  TokenId result;
};

/// Joins neighbours by priority until no pair has a rule; O(n log n) in the number of parts.
/// @param parts  a chain in order; those that were joined into their left neighbour get begin == end
/// @param rule   (left part, right part) -> optional<MergeRule>
template <typename Rule>
void merge_parts(std::vector<MergePart>& parts, const Rule& rule) {
  struct Candidate {
    double priority;
    std::int32_t left, right;
    std::size_t left_end, right_end;  // tell whether the two are still what they were
    TokenId result;
    bool operator<(const Candidate& other) const {
      return priority != other.priority ? priority < other.priority : left > other.left;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto offer = [&](std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0) return;
    const MergePart &a = parts[static_cast<std::size_t>(left)], &b = parts[static_cast<std::size_t>(right)];
    if (const auto found = rule(a, b)) queue.push({found->priority, left, right, a.end, b.end, found->result});
  };
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) offer(static_cast<std::int32_t>(i), static_cast<std::int32_t>(i + 1));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    MergePart &a = parts[static_cast<std::size_t>(best.left)], &b = parts[static_cast<std::size_t>(best.right)];
    const bool stale = a.begin == a.end || b.begin == b.end || a.after != best.right || a.end != best.left_end || b.end != best.right_end;
    if (stale) continue;
    a.id = best.result;
    a.end = b.end;
    a.after = b.after;
    b.end = b.begin;
    if (a.after >= 0) parts[static_cast<std::size_t>(a.after)].before = best.left;
    offer(a.before, best.left);
    offer(best.left, a.after);
  }
}

/// Links parts to their neighbours.
inline void chain(std::vector<MergePart>& parts) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].before = static_cast<std::int32_t>(i) - 1;
    parts[i].after = i + 1 < parts.size() ? static_cast<std::int32_t>(i + 1) : -1;
  }
}

}  // namespace vitrine
