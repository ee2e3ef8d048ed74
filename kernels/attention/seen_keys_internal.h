#pragma once

#include <algorithm>
#include <cstddef>

#include "core/model/attention.h"

// What kernels that go through the keys of a query share: vectors of numbers, groups of heads, and which keys are seen.

namespace vitrine {

constexpr std::size_t alignment = 16;  // numbers

constexpr std::size_t aligned(std::size_t count) { return (count + alignment - 1) / alignment * alignment; }

inline std::size_t group_of(const AttentionProblem& problem) { return problem.q.extent(1) / problem.k.kv_heads; }

/// Keys that a query sees besides the sinks: [begin, end).
struct Range {
  std::size_t begin, end;
};

inline Range visible_range(const AttentionProblem& problem, std::size_t position) {
  const ScoreRule& rule = problem.score;
  Range range{0, problem.k.kv_len};
  if (rule.mask == Mask::causal) range.end = std::min(range.end, position + 1);
  if (rule.window == 0) return range;
  range.begin = position + 1 > rule.window ? position + 1 - rule.window : 0;
  range.end = std::min(range.end, position + rule.window);
  return range;
}

inline std::size_t sinks_of(const AttentionProblem& problem, std::size_t position) {
  if (problem.score.window == 0) return 0;
  const std::size_t most = std::min(problem.score.sinks, problem.k.kv_len);
  return problem.score.mask == Mask::causal ? std::min(most, position + 1) : most;
}

}  // namespace vitrine
