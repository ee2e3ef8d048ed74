// Blocks of queries against blocks of keys with a running maximum (Dao et al. 2022), all query heads of a key head
// together. Key blocks begin at fixed positions and every sum of a row runs over one axis in order, so that a row's
// bits depend neither on the rows beside it nor on how the queries were split into calls.
//
// History, causal f32, 9 heads x 64 at 512 tokens, two cores of Zen 4 (peak 234 GFLOP/s), useful GFLOP/s:
// scores [row, key], keys transposed for each piece, softmax row by row   120 to 125; the products are 57% of the time
// scores [key, row], keys and values where they lie, a lane a row         see docs/performance.md
#include <algorithm>
#include <cmath>

#include "kernels/attention/flash_internal.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/flash.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/attention/cache_rows-inl.h"
#include "kernels/attention/flash_blocks-inl.h"
#include "kernels/attention/flash_narrow-inl.h"
#include "kernels/attention/flash_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR
/// Numbers [d, d + 4) of four rows, transposed: to target[d * stride].
HWY_INLINE void transpose_four(const float* const* rows, std::size_t d, float* target, std::size_t stride) {
  const hn::FixedTag<float, 4> four;
  const hn::Repartition<double, decltype(four)> pairs;
  const auto a = hn::LoadU(four, rows[0] + d), b = hn::LoadU(four, rows[1] + d);
  const auto c = hn::LoadU(four, rows[2] + d), e = hn::LoadU(four, rows[3] + d);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(four, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(four, a, b));
  const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(four, c, e));
  const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(four, c, e));
  hn::StoreU(hn::BitCast(four, hn::InterleaveLower(pairs, ab_low, ce_low)), four, target + d * stride);
  hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(pairs, ab_low, ce_low)), four, target + (d + 1) * stride);
  hn::StoreU(hn::BitCast(four, hn::InterleaveLower(pairs, ab_high, ce_high)), four, target + (d + 2) * stride);
  hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(pairs, ab_high, ce_high)), four, target + (d + 3) * stride);
}
#else
HWY_INLINE void transpose_four(const float* const* rows, std::size_t d, float* target, std::size_t stride) {
  for (std::size_t i = 0; i < 16; ++i) target[(d + i % 4) * stride + i / 4] = rows[i / 4][d + i % 4];
}
#endif

/// The products in f32.
struct Plain {
  HWY_INLINE void load_queries(const Piece& piece, const Buffers& buffers) const {
    const AttentionProblem& p = *piece.problem;
    const std::size_t stride = stride_of(p), dim = p.k.head_dim;
    for (std::size_t row = 0; row < stride; row += 4) {  // those behind the last repeat it
      const float* q[4];
      for (std::size_t i = 0; i < 4; ++i) q[i] = query_at(piece, std::min(row + i, piece.rows() - 1));
      std::size_t d = 0;
      for (; d + 4 <= dim; d += 4) transpose_four(q, d, buffers.q + row, stride);
      for (; d < dim; ++d) {
        for (std::size_t i = 0; i < 4; ++i) buffers.q[d * stride + row + i] = q[i][d];
      }
    }
    if (p.score.content.empty()) return;
    for (std::size_t d = 0; d < dim; ++d) {
      for (std::size_t row = 0; row < stride; ++row) buffers.q[d * stride + row] += p.score.content.key_bias(piece.kv_head, d);
    }
  }

  HWY_INLINE void multiply_keys(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers) const {
    const AttentionProblem& p = *piece.problem;
    const std::size_t stride = stride_of(p), dim = p.k.head_dim;
    const FloatRows keys = rows_as_f32(p.k, piece.kv_head, {first_key, first_key + count}, dim, buffers.keys);
    for (std::size_t key = 0; key < count; key += tile_rows) {
      const std::size_t here = std::min(tile_rows, count - key);
      const Range rows = rows_of_keys(piece, first_key + key, first_key + key + here);
      const std::size_t from = rows.begin / lanes * lanes, to = (rows.end + lanes - 1) / lanes * lanes;
      if (rows.begin >= rows.end) continue;
      multiply_strip<Form::scores>({keys.data + key * keys.stride, keys.stride, here, dim, buffers.q + from, stride,
                                    to - from, buffers.scores + key * stride + from, stride});
    }
  }

  HWY_INLINE WeightsInPlace weights(const Piece& piece, const Buffers& buffers) const {
    return {buffers.scores, stride_of(*piece.problem)};
  }

  HWY_INLINE void add_values(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers, const Rows& rows) const {
    const AttentionProblem& p = *piece.problem;
    const std::size_t stride = stride_of(p), padded = aligned(p.k.head_dim);
    const FloatRows values = rows_as_f32(p.v, piece.kv_head, {first_key, first_key + count}, padded, buffers.values);
    for (std::size_t row = 0; row < piece.rows(); row += tile_rows) {
      const std::size_t here = std::min(tile_rows, piece.rows() - row);
      Range keys = keys_of_rows(piece, row, here, first_key);
      keys.end = std::min(keys.end, count);
      if (keys.begin >= keys.end) continue;
      multiply_strip<Form::values>({buffers.scores + keys.begin * stride + row, stride, here, keys.end - keys.begin,
                                    values.data + keys.begin * values.stride, values.stride, padded, rows.out + row * padded, padded});
    }
  }
};

void run_piece(const Piece& piece, const void*, float* scratch) {
  if (is_narrow(*piece.problem)) return run_narrow_piece<PlainScores>(piece, scratch);
  run_whole_piece(piece, Plain(), scratch);
}

void run_part(const Piece& piece, const void*, std::size_t range, const Rows& partial, float* scratch) {
  if (is_narrow(*piece.problem)) return run_narrow_range<PlainScores>(piece, range, partial, scratch);
  run_one_range(piece, Plain(), range, partial, scratch);
}

void join_parts(const Piece& piece, float* partials) { join_ranges(piece, partials); }

Steps steps() { return {run_piece, run_part, join_parts}; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(steps);

PatternRule rule(const KernelOptions& options) { return rule_without_options("flash", options); }

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const std::string types = refuse_cache_types(problem, CacheTypes::blocks_too);
  if (!types.empty()) return types;
  if (const std::string terms = refuse_terms(problem, KnownTerms::all); !terms.empty()) return terms;
  if (const std::string groups = flash::refuse_groups(problem); !groups.empty()) return groups;
  return refuse_too_many_keys(problem);
}

void run(const KernelCall& call) {
  flash::run_tasks(call, reinterpret_cast<float*>(call.scratch.data()), HWY_DYNAMIC_DISPATCH(steps)(), nullptr);
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
        return flash::scratch_numbers(problems, threads) * sizeof(float);
      },
      run};
  return kernel;
}

}  // namespace vitrine
#endif
