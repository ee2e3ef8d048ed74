#pragma once

#include <algorithm>
#include <cstddef>

#include "core/model/attention.h"

namespace vitrine::flash {

constexpr std::size_t key_block = 64;
constexpr std::size_t most_rows = 64;  // query rows of a piece of work: positions times heads of a group
constexpr std::size_t alignment = 16;  // numbers

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

/// A worker's buffers, cut from the scratch. Dimensions are padded to whole vectors.
struct Buffers {
  float* q;        // [rows, head_dim]
  float* keys;     // [head_dim, key_block], transposed
  float* values;   // [key_block, padded head_dim]
  float* scores;   // [rows, key_block]
  float* out;      // [rows, padded head_dim]
  RowState* rows;
};

inline std::size_t rows_of(const AttentionProblem& problem) { return positions_of(problem) * group_of(problem); }

inline std::size_t buffer_numbers(const AttentionProblem& problem) {
  const std::size_t rows = rows_of(problem), dim = aligned(problem.k.head_dim);
  return 2 * rows * dim + 2 * key_block * dim + rows * key_block + aligned(rows * sizeof(RowState) / sizeof(float));
}

inline Buffers cut(float* scratch, const AttentionProblem& problem) {
  const std::size_t rows = rows_of(problem), dim = aligned(problem.k.head_dim);
  Buffers buffers{};
  buffers.q = scratch;
  buffers.out = buffers.q + rows * dim;
  buffers.keys = buffers.out + rows * dim;
  buffers.values = buffers.keys + key_block * dim;
  buffers.scores = buffers.values + key_block * dim;
  buffers.rows = reinterpret_cast<RowState*>(buffers.scores + rows * key_block);
  return buffers;
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
