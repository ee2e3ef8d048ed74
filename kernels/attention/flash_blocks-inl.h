// Blocks of queries against blocks of keys with a running maximum, whatever the arithmetic of the two products is.

#if defined(VITRINE_FLASH_BLOCKS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_FLASH_BLOCKS_INL_H
#undef VITRINE_FLASH_BLOCKS_INL_H
#else
#define VITRINE_FLASH_BLOCKS_INL_H
#endif

#include <algorithm>
#include <cmath>

#include "kernels/attention/flash_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

HWY_INLINE void scale_row(float* out, std::size_t count, float factor) {
  for (std::size_t d = 0; d < count; d += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(Lanes(), out + d), hn::Set(Lanes(), factor)), Lanes(), out + d);
  }
}

HWY_INLINE void clear(const Rows& rows, std::size_t count, std::size_t padded) {
  std::fill_n(rows.top, count, minus_infinity);
  for (float* sums : {rows.sum, rows.weighted_score, rows.weighted_distance, rows.first_key}) std::fill_n(sums, count, 0.0f);
  std::fill_n(rows.out, count * padded, 0.0f);
}

/// One row of a range of keys added to the ranges before it.
HWY_INLINE void merge_row(const Rows& total, const Rows& range, std::size_t row, std::size_t padded) {
  if (range.sum[row] == 0.0f) return;  // nothing visible there
  const float top = std::max(total.top[row], range.top[row]);
  const float keep = total.sum[row] > 0.0f ? std::exp(total.top[row] - top) : 0.0f, add = std::exp(range.top[row] - top);
  float* out = total.out + row * padded;
  for (std::size_t d = 0; d < padded; d += lanes) {
    const Vector kept = hn::Mul(hn::LoadU(Lanes(), out + d), hn::Set(Lanes(), keep));
    hn::StoreU(hn::MulAdd(hn::LoadU(Lanes(), range.out + row * padded + d), hn::Set(Lanes(), add), kept), Lanes(), out + d);
  }
  total.top[row] = top;
  for (const auto sums : {&Rows::sum, &Rows::weighted_score, &Rows::weighted_distance, &Rows::first_key}) {
    (total.*sums)[row] = (total.*sums)[row] * keep + (range.*sums)[row] * add;
  }
}

HWY_INLINE void merge(const Rows& total, const Rows& range, std::size_t rows, std::size_t padded) {
  for (std::size_t row = 0; row < rows; ++row) merge_row(total, range, row, padded);
}

HWY_INLINE void store_row(const Piece& piece, const Rows& rows, std::size_t row) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), padded = aligned(p.k.head_dim);
  const std::size_t query = piece.first + row / group, head = piece.kv_head * group + row % group;
  const float sum = rows.sum[row];
  const bool none = sum == 0.0f;
  scale_row(rows.out + row * padded, padded, none ? 0.0f : 1.0f / sum);
  std::copy_n(rows.out + row * padded, p.k.head_dim, &p.out(query, head, 0));
  const float log_sum = none ? rows.top[row] : rows.top[row] + std::log(sum);
  if (!p.normalizer.empty()) p.normalizer(query, head) = log_sum;
  if (p.stats.empty()) return;
  // H = -sum a log a = logsumexp - sum a * score
  p.stats(query, head) = none ? RowStats{}
                              : RowStats{std::max(0.0f, log_sum - rows.weighted_score[row] / sum),
                                         rows.weighted_distance[row] / sum, rows.first_key[row] / sum};
}

HWY_INLINE void store_rows(const Piece& piece, const Rows& rows) {
  for (std::size_t row = 0; row < piece.rows(); ++row) store_row(piece, rows, row);
}

/// Whether any query of the piece sees a key of the block.
HWY_INLINE bool block_matters(const Piece& piece, std::size_t first_key) {
  const Range keys = keys_of_rows(piece, 0, piece.rows(), first_key);
  return keys.begin < keys.end;
}

template <class Arithmetic, bool stats>
HWY_INLINE void add_block(const Piece& piece, const Arithmetic& arithmetic, std::size_t first_key, const Buffers& buffers, const Rows& rows) {
  const std::size_t padded = aligned(piece.problem->k.head_dim);
  const std::size_t count = keys_of_rows(piece, 0, piece.rows(), first_key).end;  // those behind it nobody sees
  arithmetic.multiply_keys(piece, first_key, count, buffers);
  if (!piece.problem->score.content.empty()) add_content(piece, first_key, count, buffers);
  load_block_terms(piece, first_key, buffers);
  if (softmax_block<stats>(piece, first_key, count, buffers, rows, arithmetic.weights(piece, buffers))) {
    for (std::size_t row = 0; row < piece.rows(); ++row) {
      if (buffers.keep[row] != 1.0f) scale_row(rows.out + row * padded, padded, buffers.keep[row]);
    }
  }
  arithmetic.add_values(piece, first_key, count, buffers, rows);
}

/// One range of keys, its sums into `rows`.
template <class Arithmetic>
HWY_INLINE void run_range(const Piece& piece, const Arithmetic& arithmetic, std::size_t range, const Buffers& buffers, const Rows& rows) {
  const AttentionProblem& p = *piece.problem;
  clear(rows, stride_of(p), aligned(p.k.head_dim));
  const std::size_t end = std::min(p.k.kv_len, (range + 1) * range_keys);
  for (std::size_t first_key = range * range_keys; first_key < end; first_key += key_block) {
    if (!block_matters(piece, first_key)) continue;
    if (p.stats.empty()) {
      add_block<Arithmetic, false>(piece, arithmetic, first_key, buffers, rows);
    } else {
      add_block<Arithmetic, true>(piece, arithmetic, first_key, buffers, rows);
    }
  }
}

template <class Arithmetic>
HWY_INLINE void run_whole_piece(const Piece& piece, const Arithmetic& arithmetic, float* scratch) {
  const AttentionProblem& p = *piece.problem;
  const Buffers buffers = cut(scratch, p);
  arithmetic.load_queries(piece, buffers);
  load_visibility(piece, buffers);
  load_content(piece, buffers);
  run_range(piece, arithmetic, 0, buffers, buffers.total);
  for (std::size_t range = 1; range * range_keys < p.k.kv_len; ++range) {
    run_range(piece, arithmetic, range, buffers, buffers.range);
    merge(buffers.total, buffers.range, piece.rows(), aligned(p.k.head_dim));
  }
  store_rows(piece, buffers.total);
}

template <class Arithmetic>
HWY_INLINE void run_one_range(const Piece& piece, const Arithmetic& arithmetic, std::size_t range, const Rows& partial, float* scratch) {
  const Buffers buffers = cut(scratch, *piece.problem);
  arithmetic.load_queries(piece, buffers);
  load_visibility(piece, buffers);
  load_content(piece, buffers);
  run_range(piece, arithmetic, range, buffers, partial);
}

/// The parts of a piece in their order: the same sums as run_whole_piece makes.
HWY_INLINE void join_ranges(const Piece& piece, float* partials) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t splits = splits_of(p), padded = aligned(p.k.head_dim);
  const Rows total = partial_at(partials, p, piece.kv_head * splits);
  for (std::size_t range = 1; range < splits; ++range) {
    merge(total, partial_at(partials, p, piece.kv_head * splits + range), piece.rows(), padded);
  }
  store_rows(piece, total);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
