#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "core/model/attention.h"
#include "kernels/attention/seen_keys_internal.h"

// Kernels that need a row's scores all at once hold them: memory is O(kv_len) for each worker.

namespace vitrine::score_rows {

constexpr std::size_t most_rows = 24;  // of a piece of work, positions times heads of a group

/// Some positions of a problem, all heads that share a key head.
struct Piece {
  const AttentionProblem* problem;
  std::size_t kv_head, first, positions;
};

inline std::size_t positions_of(const AttentionProblem& problem) { return std::max<std::size_t>(1, most_rows / group_of(problem)); }
inline std::size_t rows_of(const AttentionProblem& problem) { return positions_of(problem) * group_of(problem); }

/// Keys that a query sees: those below `sinks` and [begin, end).
struct SeenKeys {
  std::size_t sinks, begin, end;
  bool sees(std::size_t key) const { return key < sinks || (key >= begin && key < end); }
};

inline SeenKeys seen_keys(const AttentionProblem& problem, std::size_t position) {
  const Range range = visible_range(problem, position);
  return {sinks_of(problem, position), range.begin, range.end};
}

/// A worker's buffers, cut from the scratch. `Number` is what scores are made of.
template <class Number>
struct Buffers {
  Number* q;       // [rows, padded head_dim]
  Number* key;     // [padded head_dim]
  float* row;      // [padded head_dim] of the cache
  float* scores;   // [rows, padded kv_len]
  float* sorted;   // [kv_len]
  float* out;      // [rows, padded head_dim]
  SeenKeys* seen;  // [rows]

  static std::size_t numbers(const AttentionProblem& p) {
    const std::size_t rows = rows_of(p), dim = aligned(p.k.head_dim), keys = aligned(p.k.kv_len), size = sizeof(Number) / sizeof(float);
    return (rows + 1) * dim * size + dim + (rows + 1) * keys + rows * dim + aligned(rows * sizeof(SeenKeys) / sizeof(float));
  }
  Buffers(float* scratch, const AttentionProblem& p) {
    const std::size_t rows = rows_of(p), dim = aligned(p.k.head_dim), keys = aligned(p.k.kv_len), size = sizeof(Number) / sizeof(float);
    const auto take = [&scratch](std::size_t numbers) { return std::exchange(scratch, scratch + numbers); };
    q = reinterpret_cast<Number*>(take(rows * dim * size));
    key = reinterpret_cast<Number*>(take(dim * size));
    row = take(dim);
    scores = take(rows * keys);
    sorted = take(keys);
    out = take(rows * dim);
    seen = reinterpret_cast<SeenKeys*>(take(aligned(rows * sizeof(SeenKeys) / sizeof(float))));
  }
};

template <class Number>
std::size_t worker_numbers(std::span<const AttentionProblem> problems) {
  std::size_t most = 0;
  for (const AttentionProblem& problem : problems) most = std::max(most, Buffers<Number>::numbers(problem));
  return most;
}

template <class Number>
std::size_t scratch_bytes(std::span<const AttentionProblem> problems, std::size_t threads) {
  return worker_numbers<Number>(problems) * threads * sizeof(float);
}

/// Calls `work(piece, the worker's scratch)` for every piece of every problem.
template <class Number, class Work>
void for_pieces(const KernelCall& call, Work&& work) {
  const std::size_t numbers = worker_numbers<Number>(call.problems);
  for (const AttentionProblem& problem : call.problems) {
    const std::size_t positions = positions_of(problem), q_len = problem.q.extent(0), blocks = (q_len + positions - 1) / positions;
    call.pool.run(blocks * problem.k.kv_heads, [&](std::size_t index, std::size_t worker) {
      const std::size_t first = (blocks - 1 - index / problem.k.kv_heads) * positions;  // the longest rows first
      work(Piece{&problem, index % problem.k.kv_heads, first, std::min(positions, q_len - first)},
           reinterpret_cast<float*>(call.scratch.data()) + worker * numbers);
    });
  }
}

}  // namespace vitrine::score_rows
