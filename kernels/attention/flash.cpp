#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/attention/flash_internal.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/flash.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/attention/cache_rows-inl.h"
#include "kernels/attention/flash_rows-inl.h"
#include "kernels/ops/reduce-inl.h"
#include "kernels/ops/weight_rows-inl.h"

// Blocks of queries against blocks of keys with a running maximum (Dao et al. 2022), all query heads of a key head
// together. Key blocks begin at fixed positions and every sum of a row runs over one axis in order, so that a row's
// bits depend neither on the rows beside it nor on how the queries were split into calls.

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

using namespace flash;

// A tile of the products: rows by vectors, so that sums, one row of b and one number of a fit into the registers.
constexpr std::size_t tile_rows = HWY_TARGET <= HWY_AVX3 ? 6 : 4;
constexpr std::size_t tile_vectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

/// c += a * b, or c = a * b; a [rows, inner], b [inner, columns], columns a multiple of the vector.
struct Multiply {
  const float* a;
  std::size_t a_stride, rows, inner;
  const float* b;
  std::size_t b_stride, columns;
  float* c;
  std::size_t c_stride;
};

template <std::size_t rows, std::size_t vectors, bool accumulate>
HWY_INLINE void multiply_tile(const Multiply& m, std::size_t row, std::size_t column) {
  const Lanes f;
  Vector sums[rows][vectors];
  const float* a = m.a + row * m.a_stride;
  const float* b = m.b + column;
  float* c = m.c + row * m.c_stride + column;
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) {
      sums[r][v] = accumulate ? hn::LoadU(f, c + r * m.c_stride + v * lanes) : hn::Zero(f);
    }
  }
  for (std::size_t k = 0; k < m.inner; ++k) {
    Vector line[vectors];
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) line[v] = hn::LoadU(f, b + k * m.b_stride + v * lanes);
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      const Vector factor = hn::Set(f, a[r * m.a_stride + k]);
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = hn::MulAdd(factor, line[v], sums[r][v]);
    }
  }
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) hn::StoreU(sums[r][v], f, c + r * m.c_stride + v * lanes);
  }
}

template <std::size_t vectors, bool accumulate>
HWY_NOINLINE void multiply_strip(const Multiply& m, std::size_t column) {
  std::size_t row = 0;
  for (; row + tile_rows <= m.rows; row += tile_rows) multiply_tile<tile_rows, vectors, accumulate>(m, row, column);
  for (; row + 2 <= m.rows; row += 2) multiply_tile<2, vectors, accumulate>(m, row, column);
  for (; row < m.rows; ++row) multiply_tile<1, vectors, accumulate>(m, row, column);
}

template <bool accumulate>
void multiply(const Multiply& m) {
  std::size_t column = 0;
  for (; column + tile_vectors * lanes <= m.columns; column += tile_vectors * lanes) {
    multiply_strip<tile_vectors, accumulate>(m, column);
  }
  const std::size_t left = (m.columns - column) / lanes;
  if constexpr (tile_vectors > 2) {
    if (left == 3) return multiply_strip<3, accumulate>(m, column);
    if (left == 2) return multiply_strip<2, accumulate>(m, column);
  }
  if (left == 1) multiply_strip<1, accumulate>(m, column);
}

/// A row of the cache as f32: itself, or converted into `buffer`.
HWY_INLINE const float* row_as_f32(const KvView& view, std::size_t row, std::size_t head, float* buffer) {
  const std::byte* data = view.row(row, head);
  if (view.type == DType::f32) return reinterpret_cast<const float*>(data);
  if (view.type != DType::f16) return block_row_as_f32(view, data, buffer), buffer;
  const auto* bits = reinterpret_cast<const std::uint16_t*>(data);
  std::size_t d = 0;
  for (; d + lanes <= view.head_dim; d += lanes) hn::StoreU(from_f16(bits + d), Lanes(), buffer + d);
  for (; d < view.head_dim; ++d) buffer[d] = f32_from_f16(bits[d]);
  return buffer;
}

#if HWY_TARGET != HWY_SCALAR
/// Four rows of four numbers, transposed.
HWY_INLINE void transpose_four(const float* const* rows, std::size_t d, float* target) {
  const hn::FixedTag<float, 4> four;
  const hn::Repartition<double, decltype(four)> pairs;
  const auto a = hn::LoadU(four, rows[0] + d), b = hn::LoadU(four, rows[1] + d);
  const auto c = hn::LoadU(four, rows[2] + d), e = hn::LoadU(four, rows[3] + d);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(four, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(four, a, b));
  const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(four, c, e));
  const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(four, c, e));
  hn::StoreU(hn::BitCast(four, hn::InterleaveLower(pairs, ab_low, ce_low)), four, target + d * key_block);
  hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(pairs, ab_low, ce_low)), four, target + (d + 1) * key_block);
  hn::StoreU(hn::BitCast(four, hn::InterleaveLower(pairs, ab_high, ce_high)), four, target + (d + 2) * key_block);
  hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(pairs, ab_high, ce_high)), four, target + (d + 3) * key_block);
}
#else
HWY_INLINE void transpose_four(const float* const* rows, std::size_t d, float* target) {
  for (std::size_t i = 0; i < 16; ++i) target[(d + i % 4) * key_block + i / 4] = rows[i / 4][d + i % 4];
}
#endif

/// Keys [first, first + count) into buffers.keys, transposed; columns beyond them are zero.
void pack_keys(const Piece& piece, std::size_t first, std::size_t count, const Buffers& buffers) {
  const KvView& view = piece.problem->k;
  const std::size_t dim = view.head_dim, padded = aligned(dim);
  for (std::size_t j = 0; j < key_block; j += 4) {
    if (j >= count) {
      for (std::size_t d = 0; d < dim; ++d) std::fill_n(buffers.keys + d * key_block + j, 4, 0.0f);
      continue;
    }
    const float* rows[4];
    for (std::size_t i = 0; i < 4; ++i) {  // buffers.values is free until the keys are multiplied
      const std::size_t row = std::min(j + i, count - 1);
      rows[i] = row_as_f32(view, first + row, piece.kv_head, buffers.values + i * padded);
    }
    std::size_t d = 0;
    for (; d + 4 <= dim; d += 4) transpose_four(rows, d, buffers.keys + j);
    for (; d < dim; ++d) {
      for (std::size_t i = 0; i < 4; ++i) buffers.keys[d * key_block + j + i] = rows[i][d];
    }
  }
}

void pack_values(const Piece& piece, std::size_t first, std::size_t count, const Buffers& buffers) {
  const KvView& view = piece.problem->v;
  const std::size_t dim = view.head_dim, padded = aligned(dim);
  for (std::size_t j = 0; j < count; ++j) {
    float* target = buffers.values + j * padded;
    const float* row = row_as_f32(view, first + j, piece.kv_head, target);
    if (row != target) std::memcpy(target, row, dim * sizeof(float));
    std::fill(target + dim, target + padded, 0.0f);
  }
}

// One position over a half-precision cache: reading the cache is the work, so keys are not transposed and nothing is
// converted in memory. The order of the sums is another one than in the blocks above; only an f32 cache promises the
// same bits for any split of the queries.

constexpr std::size_t narrow_rows = 4;

/// Whether a problem may take that way.
bool is_narrow(const AttentionProblem& p) {
  return p.q.extent(0) == 1 && p.k.type == DType::f16 && p.k.head_dim % alignment == 0;
}

HWY_INLINE const std::uint16_t* half_row(const KvView& view, std::size_t row, std::size_t head) {
  return reinterpret_cast<const std::uint16_t*>(view.row(row, head));
}

/// Heads lie apart from one another in a row of the cache: hardware does not foresee the next one.
HWY_INLINE void prefetch_row(const KvView& view, std::size_t row, std::size_t head) {
  constexpr std::size_t rows_ahead = 16;
  const auto* bytes = reinterpret_cast<const std::byte*>(half_row(view, row + rows_ahead, head));
  for (std::size_t line = 0; line < view.head_dim * sizeof(std::uint16_t); line += 64) hwy::Prefetch(bytes + line);
}

/// Scores of rows [row, row + rows) against keys [first, first + 4), of which `count` exist.
template <std::size_t rows>
HWY_INLINE void narrow_scores(const Piece& piece, const Buffers& buffers, std::size_t row, Range keys,
                              std::size_t column) {
  const KvView& view = piece.problem->k;
  const std::size_t dim = view.head_dim, padded = aligned(dim);
  const std::uint16_t* key[four_sums];
  Vector sums[rows][four_sums];
  VITRINE_UNROLL
  for (std::size_t c = 0; c < four_sums; ++c) {
    key[c] = half_row(view, std::min(keys.begin + c, keys.end - 1), piece.kv_head);
    prefetch_row(view, keys.begin + c, piece.kv_head);
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) sums[r][c] = hn::Zero(Lanes());
  }
  for (std::size_t d = 0; d < dim; d += lanes) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < four_sums; ++c) {
      const Vector numbers = from_f16(key[c] + d);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        sums[r][c] = hn::MulAdd(hn::Load(Lanes(), buffers.q + (row + r) * padded + d), numbers, sums[r][c]);
      }
    }
  }
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) sums_of_four(sums[r], buffers.scores + (row + r) * key_block + column);
}

/// out += weights * values for rows [row, row + rows).
template <std::size_t rows>
HWY_INLINE void narrow_values(const Piece& piece, const Buffers& buffers, std::size_t row, Range keys) {
  constexpr std::size_t vectors = 4;
  const KvView& view = piece.problem->v;
  const std::size_t dim = view.head_dim, padded = aligned(dim);
  for (std::size_t d = 0; d < dim; d += vectors * lanes) {
    const std::size_t here = std::min(vectors, (dim - d) / lanes);
    Vector sums[rows][vectors];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) {
        sums[r][v] =
            v < here ? hn::Load(Lanes(), buffers.range.out + (row + r) * padded + d + v * lanes) : hn::Zero(Lanes());
      }
    }
    for (std::size_t j = keys.begin; j < keys.end; ++j) {
      const std::uint16_t* value = half_row(view, j, piece.kv_head) + d;
      if (d == 0) prefetch_row(view, j, piece.kv_head);
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) {
        if (v >= here) break;
        const Vector numbers = from_f16(value + v * lanes);
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          const Vector weight = hn::Set(Lanes(), buffers.scores[(row + r) * key_block + j - keys.begin]);
          sums[r][v] = hn::MulAdd(weight, numbers, sums[r][v]);
        }
      }
    }
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) {
        if (v < here) hn::Store(sums[r][v], Lanes(), buffers.range.out + (row + r) * padded + d + v * lanes);
      }
    }
  }
}

/// Calls task.operator()<rows>(first row) for all rows, a few at a time.
template <class Task>
HWY_INLINE void in_strips(std::size_t rows, const Task& task) {
  std::size_t row = 0;
  for (; row + narrow_rows <= rows; row += narrow_rows) task.template operator()<narrow_rows>(row);
  for (; row + 3 <= rows; row += 3) task.template operator()<3>(row);
  for (; row < rows; ++row) task.template operator()<1>(row);
}

template <bool stats>
void add_narrow_block(const Piece& piece, Range keys, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t rows = group_of(p), padded = aligned(p.k.head_dim);
  in_strips(rows, [&]<std::size_t count>(std::size_t row) HWY_ATTR {
    for (std::size_t j = 0; j < key_block; j += four_sums) {
      if (keys.begin + j < keys.end) {
        narrow_scores<count>(piece, buffers, row, {keys.begin + j, keys.end}, j);
        continue;
      }
      for (std::size_t r = 0; r < count; ++r) {
        std::fill_n(buffers.scores + (row + r) * key_block + j, four_sums, 0.0f);
      }
    }
  });
  for (std::size_t row = 0; row < rows; ++row) {
    const RowPlace place{&p, p.q_start + piece.first, keys.begin, buffers.scores + row * key_block,
                         buffers.range.out + row * padded};
    softmax_row<stats>(place, buffers.range.states[row]);
  }
  in_strips(rows,
            [&]<std::size_t count>(std::size_t row) HWY_ATTR { narrow_values<count>(piece, buffers, row, keys); });
}

void load_queries(const Piece& piece, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), dim = p.k.head_dim, padded = aligned(dim);
  for (std::size_t i = 0; i < piece.positions; ++i) {
    for (std::size_t g = 0; g < group; ++g) {
      const std::size_t row = i * group + g;
      std::memcpy(buffers.q + row * padded, &p.q(piece.first + i, piece.kv_head * group + g, 0), dim * sizeof(float));
    }
  }
}

void store_rows(const Piece& piece, const Rows& rows) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), dim = p.k.head_dim, padded = aligned(dim);
  for (std::size_t i = 0; i < piece.positions; ++i) {
    for (std::size_t g = 0; g < group; ++g) {
      const std::size_t query = piece.first + i, head = piece.kv_head * group + g;
      const RowState& row = rows.states[i * group + g];
      float* from = rows.out + (i * group + g) * padded;
      const bool none = row.sum == 0.0f;
      scale_row(from, padded, none ? 0.0f : 1.0f / row.sum);
      std::memcpy(&p.out(query, head, 0), from, dim * sizeof(float));
      const float log_sum = none ? row.top : row.top + std::log(row.sum);
      if (!p.normalizer.empty()) p.normalizer(query, head) = log_sum;
      if (p.stats.empty()) continue;
      // H = -sum a log a = logsumexp - sum a * score
      p.stats(query, head) = none ? RowStats{}
                                  : RowStats{std::max(0.0f, log_sum - row.weighted_score / row.sum),
                                             row.weighted_distance / row.sum, row.first_key / row.sum};
    }
  }
}

template <bool stats>
void add_block(const Piece& piece, std::size_t first_key, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), dim = p.k.head_dim, padded = aligned(dim), rows = piece.positions * group;
  const std::size_t last = p.q_start + piece.first + piece.positions - 1;  // position of the last query
  std::size_t end = p.k.kv_len;
  if (p.score.mask == Mask::causal) end = std::min(end, last + 1);
  const std::size_t count = std::min(key_block, end - first_key);
  if (is_narrow(p)) return add_narrow_block<stats>(piece, {first_key, first_key + count}, buffers);
  pack_keys(piece, first_key, count, buffers);
  // Scores behind the last key are masked, whatever they are.
  multiply<false>({buffers.q, padded, rows, dim, buffers.keys, key_block, aligned(count), buffers.scores, key_block});
  for (std::size_t row = 0; row < rows; ++row) {
    const RowPlace place{&p, p.q_start + piece.first + row / group, first_key, buffers.scores + row * key_block,
                         buffers.range.out + row * padded};
    softmax_row<stats>(place, buffers.range.states[row]);
  }
  pack_values(piece, first_key, count, buffers);
  multiply<true>({buffers.scores, key_block, rows, count, buffers.values, padded, padded, buffers.range.out, padded});
}

/// Whether any query of the piece sees a key of the block.
bool block_matters(const Piece& piece, std::size_t first_key) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t first = p.q_start + piece.first, last = first + piece.positions - 1;
  if (first_key < sinks_of(p, last)) return true;
  return visible_range(p, first).begin < first_key + key_block && visible_range(p, last).end > first_key;
}

void clear(const Rows& rows, std::size_t count, std::size_t padded) {
  std::fill_n(rows.states, count, RowState{-std::numeric_limits<float>::infinity(), 0.0f, 0.0f, 0.0f, 0.0f});
  std::fill_n(rows.out, count * padded, 0.0f);
}

/// Adds the sums of one range of keys to those of the ranges before it.
void merge(const Rows& total, const Rows& range, std::size_t count, std::size_t padded) {
  for (std::size_t row = 0; row < count; ++row) {
    RowState& a = total.states[row];
    const RowState& b = range.states[row];
    float* out = total.out + row * padded;
    const float* more = range.out + row * padded;
    if (b.sum == 0.0f) continue;  // nothing visible there
    const float top = std::max(a.top, b.top), keep = a.sum > 0.0f ? std::exp(a.top - top) : 0.0f,
                add = std::exp(b.top - top);
    for (std::size_t d = 0; d < padded; d += lanes) {
      const Vector kept = hn::Mul(hn::Load(Lanes(), out + d), hn::Set(Lanes(), keep));
      hn::Store(hn::MulAdd(hn::Load(Lanes(), more + d), hn::Set(Lanes(), add), kept), Lanes(), out + d);
    }
    a = {top, a.sum * keep + b.sum * add, a.weighted_score * keep + b.weighted_score * add,
         a.weighted_distance * keep + b.weighted_distance * add, a.first_key * keep + b.first_key * add};
  }
}

void run_range(const Piece& piece, std::size_t range, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  clear(buffers.range, piece.positions * group_of(p), aligned(p.k.head_dim));
  const std::size_t end = std::min(p.k.kv_len, (range + 1) * range_keys);
  for (std::size_t first_key = range * range_keys; first_key < end; first_key += key_block) {
    if (!block_matters(piece, first_key)) continue;
    if (p.stats.empty()) {
      add_block<false>(piece, first_key, buffers);
    } else {
      add_block<true>(piece, first_key, buffers);
    }
  }
}

/// The whole piece, range after range.
void run_piece(const Piece& piece, float* scratch) {
  const AttentionProblem& p = *piece.problem;
  const Buffers buffers = cut(scratch, p);
  const std::size_t rows = piece.positions * group_of(p), padded = aligned(p.k.head_dim);
  load_queries(piece, buffers);
  clear(buffers.total, rows, padded);
  for (std::size_t range = 0; range * range_keys < p.k.kv_len; ++range) {
    run_range(piece, range, buffers);
    merge(buffers.total, buffers.range, rows, padded);
  }
  store_rows(piece, buffers.total);
}

/// One range of the piece's keys; its rows are kept in `partial`.
void run_part(const Piece& piece, std::size_t range, const Rows& partial, float* scratch) {
  Buffers buffers = cut(scratch, *piece.problem);
  load_queries(piece, buffers);
  buffers.range = partial;
  run_range(piece, range, buffers);
}

/// The parts of a piece in their order: the same sums as run_piece makes.
void join_parts(const Piece& piece, float* partials, float* scratch) {
  const AttentionProblem& p = *piece.problem;
  const Buffers buffers = cut(scratch, p);
  const std::size_t rows = group_of(p), padded = aligned(p.k.head_dim), splits = splits_of(p);
  clear(buffers.total, rows, padded);
  for (std::size_t range = 0; range < splits; ++range) {
    merge(buffers.total, partial_at(partials, p, piece.kv_head * splits + range), rows, padded);
  }
  store_rows(piece, buffers.total);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(run_piece);
HWY_EXPORT(run_part);
HWY_EXPORT(join_parts);

PatternRule rule(const KernelOptions& options) { return rule_without_options("flash", options); }

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const std::string types = refuse_cache_types(problem, CacheTypes::blocks_too);
  if (!types.empty()) return types;
  return problem.k.kv_len < (1u << 24) ? "" : "at most 16777215 keys";
}

std::size_t worker_numbers(std::span<const AttentionProblem> problems) {
  std::size_t most = 0;
  for (const AttentionProblem& problem : problems) {
    most = std::max(most, flash::aligned(flash::buffer_numbers(problem)));
  }
  return most;
}

std::size_t parts_numbers(const AttentionProblem& problem) {
  const std::size_t splits = flash::splits_of(problem);
  return splits > 1 ? splits * problem.k.kv_heads * flash::partial_numbers(problem) : 0;
}

std::size_t scratch_numbers(std::span<const AttentionProblem> problems, std::size_t threads) {
  std::size_t numbers = worker_numbers(problems) * threads;
  for (const AttentionProblem& problem : problems) numbers += parts_numbers(problem);
  return numbers;
}

/// A piece, and which of its ranges of keys; where a problem is not split that counts nothing.
struct Task {
  flash::Piece piece;
  std::size_t range;
  float* parts;  // of the problem; null where it is not split
};

/// Pieces of a problem, counted rather than listed: kernels do not allocate.
std::size_t piece_count(const AttentionProblem& problem) {
  const std::size_t positions = flash::positions_of(problem);
  return (problem.q.extent(0) + positions - 1) / positions * problem.k.kv_heads;
}

std::size_t task_count(const AttentionProblem& problem) { return piece_count(problem) * flash::splits_of(problem); }

/// Task `index` of all problems; `parts` is where the parts of the first problem begin.
Task task_at(std::span<const AttentionProblem> problems, std::size_t index, float* parts) {
  const AttentionProblem* problem = problems.data();
  for (; index >= task_count(*problem); ++problem) {
    index -= task_count(*problem);
    parts += parts_numbers(*problem);
  }
  const std::size_t positions = flash::positions_of(*problem), q_len = problem->q.extent(0);
  const std::size_t splits = flash::splits_of(*problem);
  if (splits > 1) return {{problem, index / splits, 0, 1}, index % splits, parts};
  // The last positions first: under a causal mask they are the longest.
  const std::size_t blocks = (q_len + positions - 1) / positions, block = blocks - 1 - index / problem->k.kv_heads;
  const std::size_t first = block * positions;
  return {{problem, index % problem->k.kv_heads, first, std::min(positions, q_len - first)}, 0, nullptr};
}

void run(const KernelCall& call) {
  const std::size_t numbers = worker_numbers(call.problems);
  float* buffers = reinterpret_cast<float*>(call.scratch.data());
  float* parts = buffers + numbers * call.pool.threads();
  std::size_t tasks = 0;
  bool split = false;
  for (const AttentionProblem& problem : call.problems) {
    tasks += task_count(problem);
    split = split || flash::splits_of(problem) > 1;
  }
  call.pool.run(tasks, [&](std::size_t index, std::size_t worker) {
    const Task task = task_at(call.problems, index, parts);
    float* scratch = buffers + worker * numbers;
    if (!task.parts) return HWY_DYNAMIC_DISPATCH(run_piece)(task.piece, scratch);
    const std::size_t place = task.piece.kv_head * flash::splits_of(*task.piece.problem) + task.range;
    HWY_DYNAMIC_DISPATCH(run_part)
    (task.piece, task.range, flash::partial_at(task.parts, *task.piece.problem, place), scratch);
  });
  if (!split) return;
  call.pool.run(tasks, [&](std::size_t index, std::size_t worker) {
    const Task task = task_at(call.problems, index, parts);
    if (task.parts && task.range == 0)
      HWY_DYNAMIC_DISPATCH(join_parts)(task.piece, task.parts, buffers + worker * numbers);
  });
}

}  // namespace

const AttentionKernel& attention_kernel_flash() {
  static const AttentionKernel kernel{
      "flash",
      "blocks of queries against blocks of keys, vectorised",
      "Dao et al. 2022, arXiv:2205.14135",
      "cpu",
      1e-5f,
      rule,
      refuses,
      [](std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
        return scratch_numbers(problems, threads) * sizeof(float);
      },
      run};
  return kernel;
}

}  // namespace vitrine
#endif
