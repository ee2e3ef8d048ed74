#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/model/attention.h"
#include "kernels/attention/seen_keys_internal.h"

namespace vitrine::flash {

constexpr std::size_t key_block = 64;
constexpr std::size_t most_rows = 64;    // query rows of a piece of work, positions times heads of a group
constexpr std::size_t range_keys = 512;  // sums over such ranges of keys are made apart and then merged in order
constexpr std::size_t most_dim = 1024;   // of a head, where a row of it is kept on the stack

/// Where the distance meets the query, a piece is one head's.
inline std::string refuse_groups(const AttentionProblem& problem) {
  const bool known = problem.score.content.empty() || group_of(problem) == 1;
  return known ? "" : "as many key heads as heads, or scores without terms of the distance's own";
}

/// Positions of a piece. One where a group alone has more heads than fit.
inline std::size_t positions_of(const AttentionProblem& problem) {
  return std::min(std::max<std::size_t>(1, most_rows / group_of(problem)), problem.q.extent(0));
}

/// From one key's scores to the next one's: the rows of a piece in whole vectors.
inline std::size_t stride_of(const AttentionProblem& problem) { return aligned(positions_of(problem) * group_of(problem)); }

/// One piece of work: some positions of one problem, all heads that share a key head. Row r is head r % group of
/// position r / group.
struct Piece {
  const AttentionProblem* problem;
  std::size_t kv_head, first, positions;

  std::size_t rows() const { return positions * group_of(*problem); }
  /// Of a row among the keys; rows that only fill a vector stand where the last one does.
  std::size_t position(std::size_t row) const {
    return problem->q_start + first + std::min(row / group_of(*problem), positions - 1);
  }
};

inline const float* query_at(const Piece& piece, std::size_t row) {
  const std::size_t group = group_of(*piece.problem);
  return &piece.problem->q(piece.first + row / group, piece.kv_head * group + row % group, 0);
}

/// Whether a single query reads the cache as it is, a head's row in whole vectors (f16) or blocks (of 32 numbers).
inline bool is_narrow(const AttentionProblem& problem) {
  if (problem.q.extent(0) != 1 || problem.k.type == DType::f32 || !problem.score.content.empty()) return false;
  return problem.k.head_dim % (problem.k.type == DType::f16 ? alignment : dtype_info(problem.k.type).block_size) == 0;
}

/// What rows carry from key block to key block: arrays over rows, and their outputs, not yet divided by the sums.
struct Rows {
  float *top, *sum, *weighted_score, *weighted_distance, *first_key;
  float* out;  // [rows, padded head_dim]
};

inline std::size_t rows_numbers(const AttentionProblem& problem, std::size_t rows) {
  return 5 * aligned(rows) + rows * aligned(problem.k.head_dim);
}

inline Rows rows_at(float* start, std::size_t rows) {
  const std::size_t step = aligned(rows);
  return {start, start + step, start + 2 * step, start + 3 * step, start + 4 * step, start + 5 * step};
}

/// What a score holds besides the product; null where the problem's rule has no such thing (flash_terms-inl.h).
struct TermBuffers {
  float* bias;             // by row - group * key, from -group * key_block to stride; of a single query [row, key_block]
  std::uint32_t* allowed;  // [2, stride] bits of 32 keys each; of a single query [key_block] zero or not
  float* q;                // [head_dim, stride] q + w
  float* positions;        // [key_block + most_rows, stride] their products with r, a row a distance
  float *same, *other;     // [stride] of a key in the query's segment, or in another
  std::int32_t* segment;   // [stride] of the query
};

/// A worker's buffers, cut from the scratch. Dimensions are padded to whole vectors.
struct Buffers {
  float* q;        // [head_dim, stride]; a product of pairs keeps them here in its own order
  float* keys;     // [key_block, padded head_dim], where they cannot be used in place
  float* values;   // the same
  float* scores;   // [key_block, stride], become the weights
  float* weights;  // [key_block / 2, stride] pairs, of a product of pairs
  float* position; // [stride] of the row among the keys
  float* begin;    // [stride] first key that the row sees, besides the sinks
  float* end;      // [stride] and the one behind the last
  float* sinks;    // [stride]
  float* keep;     // [stride] what is left of the sums where the maximum grew
  Rows range;      // of the range of keys at hand
  Rows total;      // of those before it
  TermBuffers terms;
};

inline std::size_t bias_numbers(const AttentionProblem& problem) {
  return problem.score.by_distance.empty() ? 0 : group_of(problem) * key_block + stride_of(problem);
}
inline std::size_t allowed_numbers(const AttentionProblem& problem) {
  return problem.score.allowed.empty() ? 0 : std::max(2 * stride_of(problem), key_block);
}
inline std::size_t content_numbers(const AttentionProblem& problem) {
  return problem.score.content.empty() ? 0 : (aligned(problem.k.head_dim) + key_block + most_rows + 3) * stride_of(problem);
}

inline std::size_t buffer_numbers(const AttentionProblem& problem) {
  const std::size_t stride = stride_of(problem), dim = aligned(problem.k.head_dim);
  return stride * dim + 2 * key_block * dim + key_block * stride + key_block / 2 * stride + 5 * stride + 2 * rows_numbers(problem, stride) +
         bias_numbers(problem) + allowed_numbers(problem) + content_numbers(problem);
}

inline Buffers cut(float* scratch, const AttentionProblem& problem) {
  const std::size_t stride = stride_of(problem), dim = aligned(problem.k.head_dim);
  const auto take = [&scratch](std::size_t numbers) { return std::exchange(scratch, scratch + numbers); };
  Buffers buffers{};
  buffers.q = take(stride * dim);
  buffers.keys = take(key_block * dim);
  buffers.values = take(key_block * dim);
  buffers.scores = take(key_block * stride);
  buffers.weights = take(key_block / 2 * stride);
  for (float** array : {&buffers.position, &buffers.begin, &buffers.end, &buffers.sinks, &buffers.keep}) *array = take(stride);
  buffers.range = rows_at(take(rows_numbers(problem, stride)), stride);
  buffers.total = rows_at(take(rows_numbers(problem, stride)), stride);
  const ScoreRule& score = problem.score;
  if (!score.by_distance.empty()) buffers.terms.bias = take(bias_numbers(problem));
  if (!score.allowed.empty()) buffers.terms.allowed = reinterpret_cast<std::uint32_t*>(take(allowed_numbers(problem)));
  if (score.content.empty()) return buffers;
  buffers.terms.q = take(dim * stride);
  buffers.terms.positions = take((key_block + most_rows) * stride);
  buffers.terms.same = take(stride);
  buffers.terms.other = take(stride);
  buffers.terms.segment = reinterpret_cast<std::int32_t*>(take(stride));
  return buffers;
}

/// How many ranges of keys are worked on apart: only where there is one query, whose heads alone are few pieces of
/// work.
inline std::size_t splits_of(const AttentionProblem& problem) {
  return problem.q.extent(0) == 1 ? (problem.k.kv_len + range_keys - 1) / range_keys : 1;
}

/// What part `index` of such a query leaves behind.
inline Rows partial_at(float* partials, const AttentionProblem& problem, std::size_t index) {
  const std::size_t group = group_of(problem);
  return rows_at(partials + index * aligned(rows_numbers(problem, aligned(group))), aligned(group));
}

/// Numbers that the parts of a problem need; none where it is not split.
inline std::size_t partials_numbers(const AttentionProblem& problem) {
  const std::size_t splits = splits_of(problem);
  return splits > 1 ? splits * problem.k.kv_heads * aligned(rows_numbers(problem, aligned(group_of(problem)))) : 0;
}

/// Keys that some of the rows [row, row + count) see, as an interval of [first_key, first_key + key_block), counted from
/// first_key. Empty where end <= begin.
inline Range keys_of_rows(const Piece& piece, std::size_t row, std::size_t count, std::size_t first_key) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t last = piece.position(row + count - 1);
  Range keys{visible_range(p, piece.position(row)).begin, visible_range(p, last).end};
  const std::size_t sinks = sinks_of(p, last);
  if (first_key < sinks) keys = {first_key, std::max(keys.end, sinks)};
  keys.begin = std::max(keys.begin, first_key) - first_key;
  keys.end = std::min(std::max(keys.end, first_key) - first_key, key_block);
  return keys;
}

/// Rows that see some of the keys [begin, end), as an interval.
inline Range rows_of_keys(const Piece& piece, std::size_t begin, std::size_t end) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t first = p.q_start + piece.first, window = p.score.window, group = group_of(p);
  std::size_t from = 0, to = first + piece.positions;  // positions
  if (p.score.mask == Mask::causal) from = begin;
  if (window > 0) {
    if (begin + 1 > window) from = std::max(from, begin + 1 - window);
    if (begin >= p.score.sinks) to = std::min(to, end - 1 + window);
  }
  from = std::max(from, first) - first, to = std::max(to, first) - first;
  return {std::min(from * group, piece.rows()), to * group};
}

/// A piece, and which of its ranges of keys; where a problem is not split that counts nothing.
struct Task {
  Piece piece;
  std::size_t range;
  float* parts;  // of the problem; null where it is not split
};

/// Pieces of a problem, counted rather than listed: kernels do not allocate.
inline std::size_t task_count(const AttentionProblem& problem) {
  const std::size_t positions = positions_of(problem);
  return (problem.q.extent(0) + positions - 1) / positions * problem.k.kv_heads * splits_of(problem);
}

/// Task `index` of all problems; `parts` is where the parts of the first problem begin.
inline Task task_at(std::span<const AttentionProblem> problems, std::size_t index, float* parts) {
  const AttentionProblem* problem = problems.data();
  for (; index >= task_count(*problem); ++problem) {
    index -= task_count(*problem);
    parts += partials_numbers(*problem);
  }
  const std::size_t positions = positions_of(*problem), q_len = problem->q.extent(0), splits = splits_of(*problem);
  if (splits > 1) return {{problem, index / splits, 0, 1}, index % splits, parts};
  // The last positions first: under a causal mask they are the longest.
  const std::size_t blocks = (q_len + positions - 1) / positions, block = blocks - 1 - index / problem->k.kv_heads;
  const std::size_t first = block * positions;
  return {{problem, index % problem->k.kv_heads, first, std::min(positions, q_len - first)}, 0, nullptr};
}

inline std::size_t worker_numbers(std::span<const AttentionProblem> problems) {
  std::size_t most = 0;
  for (const AttentionProblem& problem : problems) most = std::max(most, aligned(buffer_numbers(problem)));
  return most;
}

inline std::size_t scratch_numbers(std::span<const AttentionProblem> problems, std::size_t threads) {
  std::size_t numbers = worker_numbers(problems) * threads;
  for (const AttentionProblem& problem : problems) numbers += partials_numbers(problem);
  return numbers;
}

/// What a kernel of this kind does for an instruction set. `context` is its own, the same for all calls.
struct Steps {
  /// The whole piece, range after range.
  void (*piece)(const Piece& piece, const void* context, float* scratch);
  /// One range of the piece's keys; its rows are kept in `partial`.
  void (*part)(const Piece& piece, const void* context, std::size_t range, const Rows& partial, float* scratch);
  /// The parts of a piece in their order: the same sums as `piece` makes.
  void (*join)(const Piece& piece, float* partials);
};

/// Joins the parts of every split problem, a task for each of their key heads.
inline void join_all(const KernelCall& call, float* parts, const Steps& steps) {
  std::size_t joins = 0;
  for (const AttentionProblem& problem : call.problems) joins += splits_of(problem) > 1 ? problem.k.kv_heads : 0;
  call.pool.run(joins, [&](std::size_t index, std::size_t) {
    float* own = parts;
    for (const AttentionProblem& problem : call.problems) {
      const std::size_t heads = splits_of(problem) > 1 ? problem.k.kv_heads : 0;
      if (index < heads) return steps.join({&problem, index, 0, 1}, own);
      index -= heads;
      own += partials_numbers(problem);
    }
  });
}

inline void run_tasks(const KernelCall& call, float* scratch, const Steps& steps, const void* context) {
  const std::size_t numbers = worker_numbers(call.problems);
  float* parts = scratch + numbers * call.pool.threads();
  std::size_t tasks = 0;
  for (const AttentionProblem& problem : call.problems) tasks += task_count(problem);
  call.pool.run(tasks, [&](std::size_t index, std::size_t worker) {
    const Task task = task_at(call.problems, index, parts);
    if (!task.parts) return steps.piece(task.piece, context, scratch + worker * numbers);
    const AttentionProblem& problem = *task.piece.problem;
    const std::size_t place = task.piece.kv_head * splits_of(problem) + task.range;
    steps.part(task.piece, context, task.range, partial_at(task.parts, problem, place), scratch + worker * numbers);
  });
  join_all(call, parts, steps);
}

}  // namespace vitrine::flash
