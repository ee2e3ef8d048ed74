// Rows of scores to weights, statistics and outputs. Included once per instruction set.

#if defined(VITRINE_SCORE_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_SCORE_ROWS_INL_H
#undef VITRINE_SCORE_ROWS_INL_H
#else
#define VITRINE_SCORE_ROWS_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/tensor/dtype.h"
#include "hwy/contrib/math/math-inl.h"
#include "kernels/attention/score_rows_internal.h"
#include "kernels/ops/weight_rows-inl.h"
#include "kernels/pattern/pattern.h"
#include "kernels/pattern/score_terms.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

using namespace score_rows;

constexpr float masked = -std::numeric_limits<float>::infinity();

/// A row of the cache as f32, zero behind its end.
HWY_INLINE void read_row(const KvView& view, std::size_t row, std::size_t head, float* out) {
  dtype_info(view.type).expand(view.row(row, head), out, view.head_dim);
  std::fill(out + view.head_dim, out + aligned(view.head_dim), 0.0f);
}

struct RowPlace {
  const AttentionProblem& problem;
  std::size_t row, head;  // of the problem
  float* scores;          // [padded kv_len], masked behind kv_len; becomes the weights
};

HWY_INLINE float largest(const float* scores, std::size_t count) {
  Vector top = hn::Set(Lanes(), masked);
  for (std::size_t j = 0; j < count; j += lanes) top = hn::Max(top, hn::Load(Lanes(), scores + j));
  return hn::GetLane(hn::MaxOfLanes(Lanes(), top));
}

/// Scores to weights; writes the normalizer and the statistics.
HWY_INLINE void softmax_row(const RowPlace& place) {
  const Lanes f;
  const AttentionProblem& p = place.problem;
  const std::size_t keys = aligned(p.k.kv_len);
  const float top = largest(place.scores, keys);
  if (top == masked) {  // no visible key: a row of zeros
    std::fill_n(place.scores, keys, 0.0f);
    if (!p.normalizer.empty()) p.normalizer(place.row, place.head) = masked;
    if (!p.stats.empty()) p.stats(place.row, place.head) = {};
    return;
  }
  const Vector position = hn::Set(f, static_cast<float>(p.q_start + place.row));
  Vector sum = hn::Zero(f), scores = hn::Zero(f), distances = hn::Zero(f);
  for (std::size_t j = 0; j < keys; j += lanes) {
    const Vector score = hn::Load(f, place.scores + j), weight = hn::Exp(f, hn::Sub(score, hn::Set(f, top)));
    sum = hn::Add(sum, weight);
    scores = hn::Add(scores, hn::IfThenElseZero(hn::Gt(weight, hn::Zero(f)), hn::Mul(weight, score)));
    distances = hn::MulAdd(weight, hn::AbsDiff(hn::Iota(f, static_cast<float>(j)), position), distances);
    hn::Store(weight, f, place.scores + j);
  }
  const float total = hn::GetLane(hn::SumOfLanes(f, sum)), log_sum = top + std::log(total);
  if (!p.normalizer.empty()) p.normalizer(place.row, place.head) = log_sum;
  if (!p.stats.empty()) {  // H = logsumexp - sum a * score
    const float entropy = log_sum - hn::GetLane(hn::SumOfLanes(f, scores)) / total;
    p.stats(place.row, place.head) = {std::max(0.0f, entropy), hn::GetLane(hn::SumOfLanes(f, distances)) / total, place.scores[0] / total};
  }
  const Vector share = hn::Set(f, 1.0f / total);
  for (std::size_t j = 0; j < keys; j += lanes) hn::Store(hn::Mul(hn::Load(f, place.scores + j), share), f, place.scores + j);
}

/// Outputs of all rows of a piece: weights times values, key by key. Keys without weight are not read.
template <class Number>
HWY_INLINE void weigh_values(const Piece& piece, const Buffers<Number>& buffers) {
  const Lanes f;
  const KvView& view = piece.problem->v;
  const std::size_t rows = piece.positions * group_of(*piece.problem), dim = aligned(view.head_dim), keys = aligned(view.kv_len);
  std::fill_n(buffers.out, rows * dim, 0.0f);
  for (std::size_t j = 0; j < view.kv_len; ++j) {
    bool read = false;
    for (std::size_t r = 0; r < rows; ++r) {
      const float weight = buffers.scores[r * keys + j];
      if (weight == 0.0f) continue;
      if (!read) read_row(view, j, piece.kv_head, buffers.row);
      read = true;
      float* out = buffers.out + r * dim;
      for (std::size_t d = 0; d < dim; d += lanes) {
        hn::Store(hn::MulAdd(hn::Set(f, weight), hn::Load(f, buffers.row + d), hn::Load(f, out + d)), f, out + d);
      }
    }
  }
}

/// A piece of work. `Scorer` has: Number, what it multiplies; prepare(x, count, out), an f32 row in that type;
/// product(q, k, padded count), what a score is made of; finish_row(place, seen, sorted), which may mask more.
template <class Scorer>
HWY_INLINE void run_score_rows(const Piece& piece, float* scratch, const Scorer& scorer) {
  const AttentionProblem& p = *piece.problem;
  const Buffers<typename Scorer::Number> buffers(scratch, p);
  const std::size_t group = group_of(p), rows = piece.positions * group, dim = aligned(p.k.head_dim), keys = aligned(p.k.kv_len);
  std::size_t first_key = p.k.kv_len, last_key = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t row = piece.first + r / group;
    buffers.seen[r] = seen_keys(p, p.q_start + row);
    first_key = std::min(first_key, buffers.seen[r].sinks > 0 ? 0 : buffers.seen[r].begin);
    last_key = std::max({last_key, buffers.seen[r].sinks, buffers.seen[r].end});
    std::fill_n(buffers.row, dim, 0.0f);
    std::copy_n(&p.q(row, piece.kv_head * group + r % group, 0), p.k.head_dim, buffers.row);
    scorer.prepare(buffers.row, dim, buffers.q + r * dim);
  }
  std::fill_n(buffers.scores, rows * keys, masked);
  for (std::size_t j = first_key; j < last_key; ++j) {
    read_row(p.k, j, piece.kv_head, buffers.row);
    scorer.prepare(buffers.row, dim, buffers.key);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t row = piece.first + r / group;
      if (!buffers.seen[r].sees(j) || !is_allowed(p.score, row, j)) continue;
      const double bias = bias_at(p.score, {piece.kv_head * group + r % group, row, p.q_start + row, j});
      buffers.scores[r * keys + j] = finished_score(p.score, scorer.product(buffers.q + r * dim, buffers.key, dim), bias);
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const RowPlace place{p, piece.first + r / group, piece.kv_head * group + r % group, buffers.scores + r * keys};
    scorer.finish_row(place, buffers.seen[r], buffers.sorted);
    softmax_row(place);
  }
  weigh_values(piece, buffers);
  for (std::size_t r = 0; r < rows; ++r) {
    std::copy_n(buffers.out + r * dim, p.k.head_dim, &p.out(piece.first + r / group, piece.kv_head * group + r % group, 0));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
