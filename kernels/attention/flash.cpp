#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "kernels/attention/flash_internal.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/flash.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/contrib/math/math-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/ops/reduce-inl.h"
#include "kernels/ops/weight_rows-inl.h"

// Blocks of queries against blocks of keys with a running maximum (Dao et al. 2022), all query heads of a key head
// together. Key blocks begin at fixed positions and every sum of a row runs over one axis in order, so that a row's bits
// depend neither on the rows beside it nor on how the queries were split into calls.

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
  for (; column < m.columns; column += lanes) multiply_strip<1, accumulate>(m, column);
}

/// A row of the cache as f32: itself, or converted into `buffer`.
HWY_INLINE const float* row_as_f32(const KvView& view, std::size_t row, std::size_t head, float* buffer) {
  const std::byte* data = view.rows + static_cast<std::ptrdiff_t>(row) * view.row_bytes +
                          static_cast<std::ptrdiff_t>(head) * view.head_bytes;
  if (view.type == DType::f32) return reinterpret_cast<const float*>(data);
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

/// Numbers first..first + lanes - 1, exact below 2^24.
HWY_INLINE Vector counting(std::size_t first) { return hn::Iota(Lanes(), static_cast<float>(first)); }

/// Lanes whose key the query at `position` sees.
HWY_INLINE hn::Mask<Lanes> visible_lanes(Vector keys, Range range, std::size_t sinks) {
  const Lanes f;
  const auto inside = hn::And(hn::Ge(keys, hn::Set(f, static_cast<float>(range.begin))),
                              hn::Lt(keys, hn::Set(f, static_cast<float>(range.end))));
  return hn::Or(inside, hn::Lt(keys, hn::Set(f, static_cast<float>(sinks))));
}

struct RowPlace {
  const AttentionProblem* problem;
  std::size_t position, first_key;  // of the query; of the key block
  float* scores;                    // [key_block], becomes the weights
  float* out;                       // [padded head_dim]
};

/// Scores to masked and capped scores; returns the largest.
HWY_INLINE float prepare_scores(const RowPlace& place) {
  const Lanes f;
  const ScoreRule& rule = place.problem->score;
  const Range range = visible_range(*place.problem, place.position);
  const std::size_t sinks = sinks_of(*place.problem, place.position);
  const bool whole = range.begin <= place.first_key && range.end >= place.first_key + key_block;
  Vector top = hn::Set(f, -std::numeric_limits<float>::infinity());
  for (std::size_t j = 0; j < key_block; j += lanes) {
    Vector score = hn::Mul(hn::Load(f, place.scores + j), hn::Set(f, rule.scale));
    if (rule.soft_cap > 0.0f) {
      const Vector cap = hn::Set(f, rule.soft_cap);
      score = hn::Mul(cap, hn::Tanh(f, hn::Div(score, cap)));
    }
    if (!whole) {
      const auto seen = visible_lanes(counting(place.first_key + j), range, sinks);
      score = hn::IfThenElse(seen, score, hn::Set(f, -std::numeric_limits<float>::infinity()));
    }
    top = hn::Max(top, score);
    hn::Store(score, f, place.scores + j);
  }
  return hn::GetLane(hn::MaxOfLanes(f, top));
}

HWY_INLINE void scale_row(float* out, std::size_t count, float factor) {
  for (std::size_t d = 0; d < count; d += lanes) {
    hn::Store(hn::Mul(hn::Load(Lanes(), out + d), hn::Set(Lanes(), factor)), Lanes(), out + d);
  }
}

/// Scores to weights exp(score - top); older sums shrink where the maximum grew. A row that sees no key of this block
/// is left as it is, with weights 0.
template <bool stats>
HWY_INLINE void softmax_row(const RowPlace& place, RowState& row) {
  const Lanes f;
  const float block_top = prepare_scores(place);
  if (block_top == -std::numeric_limits<float>::infinity()) {
    std::fill_n(place.scores, key_block, 0.0f);
    return;
  }
  const float top = std::max(row.top, block_top);
  if (row.sum > 0.0f && top > row.top) {
    const float keep = std::exp(row.top - top);
    scale_row(place.out, aligned(place.problem->k.head_dim), keep);
    row.sum *= keep;
    if constexpr (stats) row.weighted_score *= keep, row.weighted_distance *= keep, row.first_key *= keep;
  }
  Vector sum = hn::Zero(f), scores = hn::Zero(f), distances = hn::Zero(f);
  for (std::size_t j = 0; j < key_block; j += lanes) {
    const Vector score = hn::Load(f, place.scores + j);
    const Vector weight = hn::Exp(f, hn::Sub(score, hn::Set(f, top)));
    sum = hn::Add(sum, weight);
    if constexpr (stats) {
      const Vector distance = hn::AbsDiff(counting(place.first_key + j), hn::Set(f, static_cast<float>(place.position)));
      scores = hn::Add(scores, hn::IfThenElseZero(hn::Gt(weight, hn::Zero(f)), hn::Mul(weight, score)));
      distances = hn::MulAdd(weight, distance, distances);
    }
    hn::Store(weight, f, place.scores + j);
  }
  row.top = top;
  row.sum += hn::GetLane(hn::SumOfLanes(f, sum));
  if constexpr (stats) {
    row.weighted_score += hn::GetLane(hn::SumOfLanes(f, scores));
    row.weighted_distance += hn::GetLane(hn::SumOfLanes(f, distances));
    if (place.first_key == 0) row.first_key += place.scores[0];
  }
}

// One position over a half-precision cache: reading the cache is the work, so keys are not transposed and nothing is
// converted in memory. The order of the sums is another one than in the blocks above; only an f32 cache promises the same
// bits for any split of the queries.

constexpr std::size_t narrow_rows = 4;

/// Whether a piece may take that way.
bool is_narrow(const Piece& piece) {
  const AttentionProblem& p = *piece.problem;
  return piece.positions == 1 && p.q.extent(0) == 1 && p.k.type == DType::f16 && p.k.head_dim % lanes == 0 && lanes >= 4;
}

HWY_INLINE const std::uint16_t* half_row(const KvView& view, std::size_t row, std::size_t head) {
  return reinterpret_cast<const std::uint16_t*>(view.rows + static_cast<std::ptrdiff_t>(row) * view.row_bytes +
                                                static_cast<std::ptrdiff_t>(head) * view.head_bytes);
}

/// Heads lie apart from one another in a row of the cache: hardware does not foresee the next one.
HWY_INLINE void prefetch_row(const KvView& view, std::size_t row, std::size_t head) {
  constexpr std::size_t rows_ahead = 16;
  const auto* bytes = reinterpret_cast<const std::byte*>(half_row(view, row + rows_ahead, head));
  for (std::size_t line = 0; line < view.head_dim * sizeof(std::uint16_t); line += 64) hwy::Prefetch(bytes + line);
}

/// Scores of rows [row, row + rows) against keys [first, first + 4), of which `count` exist.
template <std::size_t rows>
HWY_INLINE void narrow_scores(const Piece& piece, const Buffers& buffers, std::size_t row, Range keys, std::size_t column) {
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
        sums[r][v] = v < here ? hn::Load(Lanes(), buffers.out + (row + r) * padded + d + v * lanes) : hn::Zero(Lanes());
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
        if (v < here) hn::Store(sums[r][v], Lanes(), buffers.out + (row + r) * padded + d + v * lanes);
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
      if (keys.begin + j < keys.end) narrow_scores<count>(piece, buffers, row, {keys.begin + j, keys.end}, j);
      else for (std::size_t r = 0; r < count; ++r) std::fill_n(buffers.scores + (row + r) * key_block + j, four_sums, 0.0f);
    }
  });
  for (std::size_t row = 0; row < rows; ++row) {
    const RowPlace place{&p, p.q_start + piece.first, keys.begin, buffers.scores + row * key_block, buffers.out + row * padded};
    softmax_row<stats>(place, buffers.rows[row]);
  }
  in_strips(rows, [&]<std::size_t count>(std::size_t row) HWY_ATTR { narrow_values<count>(piece, buffers, row, keys); });
}

void load_queries(const Piece& piece, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), dim = p.k.head_dim, padded = aligned(dim);
  for (std::size_t i = 0; i < piece.positions; ++i) {
    for (std::size_t g = 0; g < group; ++g) {
      const std::size_t row = i * group + g;
      std::memcpy(buffers.q + row * padded, &p.q(piece.first + i, piece.kv_head * group + g, 0), dim * sizeof(float));
      std::fill_n(buffers.out + row * padded, padded, 0.0f);
      buffers.rows[row] = {-std::numeric_limits<float>::infinity(), 0.0f, 0.0f, 0.0f, 0.0f};
    }
  }
}

void store_rows(const Piece& piece, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), dim = p.k.head_dim, padded = aligned(dim);
  for (std::size_t i = 0; i < piece.positions; ++i) {
    for (std::size_t g = 0; g < group; ++g) {
      const std::size_t query = piece.first + i, head = piece.kv_head * group + g;
      const RowState& row = buffers.rows[i * group + g];
      float* from = buffers.out + (i * group + g) * padded;
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
  if (is_narrow(piece)) return add_narrow_block<stats>(piece, {first_key, first_key + count}, buffers);
  pack_keys(piece, first_key, count, buffers);
  multiply<false>({buffers.q, padded, rows, dim, buffers.keys, key_block, key_block, buffers.scores, key_block});
  for (std::size_t row = 0; row < rows; ++row) {
    const RowPlace place{&p, p.q_start + piece.first + row / group, first_key, buffers.scores + row * key_block,
                         buffers.out + row * padded};
    softmax_row<stats>(place, buffers.rows[row]);
  }
  pack_values(piece, first_key, count, buffers);
  multiply<true>({buffers.scores, key_block, rows, count, buffers.values, padded, padded, buffers.out, padded});
}

/// Whether any query of the piece sees a key of the block.
bool block_matters(const Piece& piece, std::size_t first_key) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t first = p.q_start + piece.first, last = first + piece.positions - 1;
  if (first_key < sinks_of(p, last)) return true;
  return visible_range(p, first).begin < first_key + key_block && visible_range(p, last).end > first_key;
}

void run_piece(const Piece& piece, float* scratch) {
  const Buffers buffers = cut(scratch, *piece.problem);
  load_queries(piece, buffers);
  for (std::size_t first_key = 0; first_key < piece.problem->k.kv_len; first_key += key_block) {
    if (!block_matters(piece, first_key)) continue;
    if (piece.problem->stats.empty()) {
      add_block<false>(piece, first_key, buffers);
    } else {
      add_block<true>(piece, first_key, buffers);
    }
  }
  store_rows(piece, buffers);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(run_piece);

PatternRule rule(const KernelOptions& options) {
  if (!options.positional.empty() || !options.named.empty()) {
    throw Error({"--kernel flash", "no options", "some", ""}, Fault::usage);
  }
  return {};
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const bool readable = problem.k.type == DType::f32 || problem.k.type == DType::f16;
  if (!readable || problem.v.type != problem.k.type) return "keys and values must both be F32 or F16";
  return problem.k.kv_len < (1u << 24) ? "" : "at most 16777215 keys";
}

std::size_t worker_numbers(std::span<const AttentionProblem> problems) {
  std::size_t most = 0;
  for (const AttentionProblem& problem : problems) most = std::max(most, flash::aligned(flash::buffer_numbers(problem)));
  return most;
}

/// The pieces of a problem, counted rather than listed: kernels do not allocate.
std::size_t piece_count(const AttentionProblem& problem) {
  const std::size_t positions = flash::positions_of(problem);
  return (problem.q.extent(0) + positions - 1) / positions * problem.k.kv_heads;
}

flash::Piece piece_at(std::span<const AttentionProblem> problems, std::size_t index) {
  const AttentionProblem* problem = problems.data();
  for (; index >= piece_count(*problem); ++problem) index -= piece_count(*problem);
  const std::size_t positions = flash::positions_of(*problem), q_len = problem->q.extent(0);
  // The last positions first: under a causal mask they are the longest.
  const std::size_t blocks = (q_len + positions - 1) / positions, block = blocks - 1 - index / problem->k.kv_heads;
  const std::size_t first = block * positions;
  return {problem, index % problem->k.kv_heads, first, std::min(positions, q_len - first)};
}

void run(const KernelCall& call) {
  const std::size_t numbers = worker_numbers(call.problems);
  std::size_t pieces = 0;
  for (const AttentionProblem& problem : call.problems) pieces += piece_count(problem);
  call.pool.run(pieces, [&](std::size_t index, std::size_t worker) {
    float* scratch = reinterpret_cast<float*>(call.scratch.data()) + worker * numbers;
    HWY_DYNAMIC_DISPATCH(run_piece)(piece_at(call.problems, index), scratch);
  });
}

}  // namespace

const AttentionKernel& attention_kernel_flash() {
  static const AttentionKernel kernel{
      "flash", "blocks of queries against blocks of keys, vectorised", "Dao et al. 2022, arXiv:2205.14135", "cpu", 1e-5f,
      rule, refuses,
      [](std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
        return worker_numbers(problems) * threads * sizeof(float);
      },
      run};
  return kernel;
}

}  // namespace vitrine
#endif
