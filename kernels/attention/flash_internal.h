#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/model/attention.h"

namespace vitrine::flash {

constexpr std::size_t key_block = 64;
constexpr std::size_t most_rows = 66;    // query rows of a piece of work, positions times heads of a group: whole tiles of 6
constexpr std::size_t range_keys = 512;  // sums over such ranges of keys are made apart and then merged in order
constexpr std::size_t alignment = 16;    // numbers

constexpr std::size_t aligned(std::size_t count) { return (count + alignment - 1) / alignment * alignment; }

/// One piece of work: some positions of one problem, all heads that share a key head.
struct Piece {
  const AttentionProblem* problem;
  std::size_t kv_head, first, positions;
};

inline std::size_t group_of(const AttentionProblem& problem) { return problem.q.extent(1) / problem.k.kv_heads; }

/// Positions of a piece. One where a group alone has more heads than fit.
inline std::size_t positions_of(const AttentionProblem& problem) {
  return std::max<std::size_t>(1, most_rows / group_of(problem));
}

/// What a row carries from key block to key block.
struct RowState {
  float top, sum, weighted_score, weighted_distance, first_key;
};

/// Rows of one position group: their states and their outputs, not yet divided by the sums.
struct Rows {
  RowState* states;
  float* out;  // [rows, padded head_dim]
};

/// A worker's buffers, cut from the scratch. Dimensions are padded to whole vectors.
struct Buffers {
  float* q;       // [rows, head_dim]
  float* keys;    // [head_dim, key_block], transposed
  float* values;  // [key_block, padded head_dim]
  float* scores;  // [rows, key_block]
  Rows range;     // of the range of keys at hand
  Rows total;     // of those before it
};

inline std::size_t rows_of(const AttentionProblem& problem) { return positions_of(problem) * group_of(problem); }

inline std::size_t state_numbers(std::size_t rows) { return aligned(rows * sizeof(RowState) / sizeof(float)); }

inline std::size_t buffer_numbers(const AttentionProblem& problem) {
  const std::size_t rows = rows_of(problem), dim = aligned(problem.k.head_dim);
  return 3 * rows * dim + 2 * key_block * dim + rows * key_block + 2 * state_numbers(rows);
}

inline Buffers cut(float* scratch, const AttentionProblem& problem) {
  const std::size_t rows = rows_of(problem), dim = aligned(problem.k.head_dim);
  Buffers buffers{};
  const auto take = [&scratch](std::size_t numbers) { return std::exchange(scratch, scratch + numbers); };
  const auto take_states = [&] { return reinterpret_cast<RowState*>(take(state_numbers(rows))); };
  buffers.q = take(rows * dim);
  buffers.keys = take(key_block * dim);
  buffers.values = take(key_block * dim);
  buffers.scores = take(rows * key_block);
  buffers.range = {take_states(), take(rows * dim)};
  buffers.total = {take_states(), take(rows * dim)};
  return buffers;
}

/// How many ranges of keys are worked on apart: only where there is one query, whose heads alone are few pieces of
/// work.
inline std::size_t splits_of(const AttentionProblem& problem) {
  return problem.q.extent(0) == 1 ? (problem.k.kv_len + range_keys - 1) / range_keys : 1;
}

/// What a piece that is a part of such a query leaves behind.
inline std::size_t partial_numbers(const AttentionProblem& problem) {
  return state_numbers(group_of(problem)) + group_of(problem) * aligned(problem.k.head_dim);
}

inline Rows partial_at(float* partials, const AttentionProblem& problem, std::size_t index) {
  float* start = partials + index * partial_numbers(problem);
  return {reinterpret_cast<RowState*>(start), start + state_numbers(group_of(problem))};
}

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

}  // namespace vitrine::flash
