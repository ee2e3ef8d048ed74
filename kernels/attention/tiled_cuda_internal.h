#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/base/half.h"
#include "core/model/attention.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif
#ifdef __CUDA_ARCH__
#define VITRINE_DEVICE_UNROLL _Pragma("unroll")
#else
#define VITRINE_DEVICE_UNROLL
#endif

// The work of one block of threads, phase after phase: a tile of query rows (positions times the heads that share a key
// head) against tiles of keys, with a running maximum (Dao et al. 2022). A row's sums run over the keys in order and key
// tiles begin at fixed positions, so that its bits do not depend on the rows beside it.

namespace vitrine::tiled {

constexpr unsigned row_tile = 64, key_tile = 32;
constexpr unsigned side = 16, threads = side * side;  // as a square for the products
constexpr unsigned rows_each = row_tile / side, keys_each = key_tile / side;
constexpr unsigned parts = threads / row_tile, part_keys = key_tile / parts;  // threads that share a row of the softmax

/// One problem in the device's memory, every axis dense.
struct Problem {
  const float* q;     // [q_len, heads, head_dim]
  const void* k;      // [kv_heads, kv_len, head_dim], binary16 where `half`, else f32
  const void* v;
  float* out;         // [q_len, heads, head_dim]
  float* normalizer;  // [q_len, heads], or null
  RowStats* stats;    // [q_len, heads], or null
  ScoreRule score;
  std::uint32_t q_len, kv_len, heads, kv_heads, head_dim, q_start;
  bool half;
};

VITRINE_HOST_DEVICE inline std::uint32_t group_of(const Problem& p) { return p.heads / p.kv_heads; }
VITRINE_HOST_DEVICE inline std::uint32_t rows_of(const Problem& p) { return p.q_len * group_of(p); }
VITRINE_HOST_DEVICE inline std::uint32_t row_blocks(const Problem& p) { return (rows_of(p) + row_tile - 1) / row_tile; }

/// Where row `row` of a key head lies: position and head of the query.
struct RowPlace {
  std::uint32_t query, head;
};
VITRINE_HOST_DEVICE inline RowPlace place_of(const Problem& p, std::uint32_t kv_head, std::uint32_t row) {
  return {row / group_of(p), kv_head * group_of(p) + row % group_of(p)};
}

/// kernels/pattern's `visible`, which device code cannot call.
VITRINE_HOST_DEVICE inline bool sees(const ScoreRule& rule, std::size_t position, std::size_t key) {
  if (rule.mask == Mask::causal && key > position) return false;
  const std::size_t distance = key > position ? key - position : position - key;
  return rule.window == 0 || distance < rule.window || key < rule.sinks;
}

/// Whether a query at one of the positions [first, last] sees a key of the tile that begins at `first_key`.
VITRINE_HOST_DEVICE inline bool tile_matters(const ScoreRule& rule, std::size_t first, std::size_t last, std::size_t first_key) {
  if (rule.mask == Mask::causal && first_key > last) return false;
  if (rule.window == 0 || first_key < rule.sinks) return true;
  return first_key + key_tile + rule.window > first + 1 && first_key < last + rule.window;
}

/// Of a block, in f32 numbers; rows of q and of keys or values are one number longer, which keeps banks apart.
struct Shared {
  float *q, *kv, *weights;                              // [row_tile, dim + 1], [key_tile, dim + 1], [row_tile, key_tile + 1]
  float *top, *sum, *score, *distance, *first, *keep;   // [row_tile]
  float *part_top, *part_sum, *part_score, *part_distance;  // [row_tile, parts]
};

VITRINE_HOST_DEVICE constexpr unsigned shared_numbers(unsigned dim) {
  return (row_tile + key_tile) * (dim + 1) + row_tile * (key_tile + 1) + row_tile * (6 + 4 * parts);
}

VITRINE_HOST_DEVICE inline Shared cut(float* memory, unsigned dim) {
  Shared s{};
  s.q = memory;
  s.kv = s.q + row_tile * (dim + 1);
  s.weights = s.kv + key_tile * (dim + 1);
  s.top = s.weights + row_tile * (key_tile + 1);
  s.sum = s.top + row_tile;
  s.score = s.sum + row_tile;
  s.distance = s.score + row_tile;
  s.first = s.distance + row_tile;
  s.keep = s.first + row_tile;
  s.part_top = s.keep + row_tile;
  s.part_sum = s.part_top + row_tile * parts;
  s.part_score = s.part_sum + row_tile * parts;
  s.part_distance = s.part_score + row_tile * parts;
  return s;
}

/// A thread's share of the outputs: rows_each rows, every side-th column.
template <unsigned dim>
struct State {
  float out[rows_each][dim / side];
};

VITRINE_HOST_DEVICE inline float number_at(const void* data, bool half, std::size_t index) {
  if (!half) return static_cast<const float*>(data)[index];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(data)[index];
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(bits));
#else
  return f32_from_f16(bits);
#endif
}

/// One tile of rows of one key head. Team::each runs a phase on every thread.
template <unsigned dim>
class Block {
 public:
  VITRINE_HOST_DEVICE Block(const Problem& problem, unsigned row_block, unsigned kv_head, float* memory)
      : p_(problem), s_(cut(memory, dim)), first_row_(row_block * row_tile), kv_head_(kv_head) {}

  template <class Team>
  VITRINE_HOST_DEVICE void run(Team& team) {
    const std::uint32_t end = first_row_ + row_tile < rows_of(p_) ? first_row_ + row_tile : rows_of(p_);
    const std::size_t first = position(first_row_), last = position(end - 1);
    team.each([&](unsigned thread, State<dim>& state) { begin(thread, state); });
    for (std::uint32_t key = 0; key < p_.kv_len; key += key_tile) {
      if (!tile_matters(p_.score, first, last, key)) continue;
      team.each([&](unsigned thread, State<dim>&) { load(thread, p_.k, key); });
      team.each([&](unsigned thread, State<dim>&) { make_scores(thread, key); });
      team.each([&](unsigned thread, State<dim>&) { find_tops(thread); });
      team.each([&](unsigned thread, State<dim>&) { make_weights(thread, key); });
      team.each([&](unsigned thread, State<dim>&) {
        advance(thread, key);
        load(thread, p_.v, key);
      });
      team.each([&](unsigned thread, State<dim>& state) { weigh(thread, state); });
    }
    team.each([&](unsigned thread, State<dim>& state) { finish(thread, state); });
  }

 private:
  VITRINE_HOST_DEVICE std::size_t position(std::uint32_t row) const { return std::size_t{p_.q_start} + row / group_of(p_); }
  VITRINE_HOST_DEVICE std::size_t query_at(std::uint32_t row) const {
    const RowPlace place = place_of(p_, kv_head_, row);
    return std::size_t{place.query} * p_.heads + place.head;
  }

  VITRINE_HOST_DEVICE void begin(unsigned thread, State<dim>& state) {
    for (unsigned i = thread; i < row_tile * dim; i += threads) {
      const std::uint32_t row = i / dim, d = i % dim;
      const bool exists = first_row_ + row < rows_of(p_) && d < p_.head_dim;
      s_.q[row * (dim + 1) + d] = exists ? p_.q[query_at(first_row_ + row) * p_.head_dim + d] : 0.0f;
    }
    if (thread < row_tile) {
      s_.top[thread] = -INFINITY;
      s_.sum[thread] = s_.score[thread] = s_.distance[thread] = s_.first[thread] = 0.0f;
    }
    VITRINE_DEVICE_UNROLL
    for (unsigned r = 0; r < rows_each; ++r) {
      VITRINE_DEVICE_UNROLL
      for (unsigned c = 0; c < dim / side; ++c) state.out[r][c] = 0.0f;
    }
  }

  /// A tile of keys or of values; zeros behind the last one.
  VITRINE_HOST_DEVICE void load(unsigned thread, const void* rows, std::uint32_t key) {
    for (unsigned i = thread; i < key_tile * dim; i += threads) {
      const std::uint32_t j = i / dim, d = i % dim;
      const bool exists = key + j < p_.kv_len && d < p_.head_dim;
      const std::size_t row = std::size_t{kv_head_} * p_.kv_len + key + j;
      s_.kv[j * (dim + 1) + d] = exists ? number_at(rows, p_.half, row * p_.head_dim + d) : 0.0f;
    }
  }

  VITRINE_HOST_DEVICE void make_scores(unsigned thread, std::uint32_t key) {
    const unsigned row = thread / side * rows_each, column = thread % side;
    float sums[rows_each][keys_each] = {};
    for (unsigned d = 0; d < dim; ++d) {
      VITRINE_DEVICE_UNROLL
      for (unsigned r = 0; r < rows_each; ++r) {
        VITRINE_DEVICE_UNROLL
        for (unsigned c = 0; c < keys_each; ++c) sums[r][c] += s_.q[(row + r) * (dim + 1) + d] * s_.kv[(column + c * side) * (dim + 1) + d];
      }
    }
    const float cap = p_.score.soft_cap;
    VITRINE_DEVICE_UNROLL
    for (unsigned r = 0; r < rows_each; ++r) {
      VITRINE_DEVICE_UNROLL
      for (unsigned c = 0; c < keys_each; ++c) {
        const std::uint32_t j = column + c * side;
        const float score = sums[r][c] * p_.score.scale;
        const bool seen = key + j < p_.kv_len && sees(p_.score, position(first_row_ + row + r), key + j);
        s_.weights[(row + r) * (key_tile + 1) + j] = !seen ? -INFINITY : cap > 0.0f ? cap * tanhf(score / cap) : score;
      }
    }
  }

  VITRINE_HOST_DEVICE float* part_of(unsigned thread) const { return s_.weights + thread / parts * (key_tile + 1) + thread % parts * part_keys; }

  VITRINE_HOST_DEVICE void find_tops(unsigned thread) {
    const float* scores = part_of(thread);
    float top = scores[0];
    for (unsigned j = 1; j < part_keys; ++j) top = fmaxf(top, scores[j]);
    s_.part_top[thread] = top;
  }

  /// The maximum of a row after this tile.
  VITRINE_HOST_DEVICE float new_top(unsigned row) const {
    float top = s_.top[row];
    for (unsigned part = 0; part < parts; ++part) top = fmaxf(top, s_.part_top[row * parts + part]);
    return top;
  }

  VITRINE_HOST_DEVICE void make_weights(unsigned thread, std::uint32_t key) {
    const unsigned row = thread / parts;
    const float top = new_top(row), place = static_cast<float>(position(first_row_ + row));
    float* scores = part_of(thread);
    float sum = 0.0f, weighted = 0.0f, distance = 0.0f;
    for (unsigned j = 0; j < part_keys; ++j) {
      const float score = scores[j], weight = score > -INFINITY ? expf(score - top) : 0.0f;
      scores[j] = weight;
      sum += weight;
      if (weight > 0.0f) weighted += weight * score;
      distance += weight * fabsf(static_cast<float>(key + thread % parts * part_keys + j) - place);
    }
    s_.part_sum[thread] = sum;
    s_.part_score[thread] = weighted;
    s_.part_distance[thread] = distance;
  }

  /// Older sums of a row shrink where its maximum grew.
  VITRINE_HOST_DEVICE void advance(unsigned row, std::uint32_t key) {
    if (row >= row_tile) return;
    const float top = new_top(row), keep = s_.sum[row] > 0.0f ? expf(s_.top[row] - top) : 0.0f;
    float sum = 0.0f, score = 0.0f, distance = 0.0f;
    for (unsigned part = row * parts; part < (row + 1) * parts; ++part) {
      sum += s_.part_sum[part];
      score += s_.part_score[part];
      distance += s_.part_distance[part];
    }
    s_.keep[row] = keep;
    s_.top[row] = top;
    s_.sum[row] = s_.sum[row] * keep + sum;
    s_.score[row] = s_.score[row] * keep + score;
    s_.distance[row] = s_.distance[row] * keep + distance;
    s_.first[row] = s_.first[row] * keep + (key == 0 ? s_.weights[row * (key_tile + 1)] : 0.0f);
  }

  VITRINE_HOST_DEVICE void weigh(unsigned thread, State<dim>& state) {
    const unsigned row = thread / side * rows_each, column = thread % side;
    VITRINE_DEVICE_UNROLL
    for (unsigned r = 0; r < rows_each; ++r) {
      VITRINE_DEVICE_UNROLL
      for (unsigned c = 0; c < dim / side; ++c) state.out[r][c] *= s_.keep[row + r];
    }
    for (unsigned j = 0; j < key_tile; ++j) {
      float weights[rows_each];
      VITRINE_DEVICE_UNROLL
      for (unsigned r = 0; r < rows_each; ++r) weights[r] = s_.weights[(row + r) * (key_tile + 1) + j];
      VITRINE_DEVICE_UNROLL
      for (unsigned c = 0; c < dim / side; ++c) {
        const float value = s_.kv[j * (dim + 1) + column + c * side];
        VITRINE_DEVICE_UNROLL
        for (unsigned r = 0; r < rows_each; ++r) state.out[r][c] += weights[r] * value;
      }
    }
  }

  VITRINE_HOST_DEVICE void finish(unsigned thread, const State<dim>& state) {
    const unsigned row = thread / side * rows_each, column = thread % side;
    VITRINE_DEVICE_UNROLL
    for (unsigned r = 0; r < rows_each; ++r) {
      if (first_row_ + row + r >= rows_of(p_)) continue;
      float* out = p_.out + query_at(first_row_ + row + r) * p_.head_dim;
      const float sum = s_.sum[row + r], share = sum > 0.0f ? 1.0f / sum : 0.0f;
      VITRINE_DEVICE_UNROLL
      for (unsigned c = 0; c < dim / side; ++c) {
        if (column + c * side < p_.head_dim) out[column + c * side] = state.out[r][c] * share;
      }
    }
    if (thread >= row_tile || first_row_ + thread >= rows_of(p_)) return;
    const std::size_t place = query_at(first_row_ + thread);
    const float sum = s_.sum[thread], log_sum = sum > 0.0f ? s_.top[thread] + logf(sum) : -INFINITY;
    if (p_.normalizer != nullptr) p_.normalizer[place] = log_sum;
    if (p_.stats == nullptr) return;
    // H = -sum a log a = logsumexp - sum a * score
    p_.stats[place] = sum > 0.0f ? RowStats{fmaxf(0.0f, log_sum - s_.score[thread] / sum), s_.distance[thread] / sum, s_.first[thread] / sum}
                                 : RowStats{};
  }

  const Problem& p_;
  Shared s_;
  std::uint32_t first_row_, kv_head_;
};

}  // namespace vitrine::tiled
