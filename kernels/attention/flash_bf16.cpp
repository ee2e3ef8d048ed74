// `flash` with the two products in bfloat16: queries, keys, values and weights are rounded to 8 bits of mantissa, sums,
// scores and the softmax stay f32. Keys and values are rounded once a call, not once a block. A single query reads the
// cache as it is, for reading is its work, but multiplies the same rounded queries and keys: one rule explains both. Its
// weights and values are not rounded.
//
// History: see docs/performance.md.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/attention/flash_internal.h"
#include "kernels/kernels.h"
#include "kernels/simd/dot_x86.h"
#include "kernels/simd/scores_x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/flash_bf16.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/attention/cache_rows-inl.h"
#include "kernels/attention/flash_blocks-inl.h"
#include "kernels/attention/flash_narrow-inl.h"
#include "kernels/ops/bf16-inl.h"

#ifndef VITRINE_FLASH_BF16_ONCE
#define VITRINE_FLASH_BF16_ONCE
namespace vitrine::flash {

/// Keys and values of one problem, rounded; a head dimension is padded with zeros.
struct RoundedCache {
  std::uint16_t* keys;    // [kv_head, key, padded head_dim]
  std::uint16_t* values;  // [kv_head, key / 2, padded head_dim, 2]: as the product of pairs reads them
};

inline std::size_t even_keys(const AttentionProblem& problem) { return (problem.k.kv_len + 1) / 2 * 2; }

/// 16-bit numbers of one head's keys, or values.
inline std::size_t rounded_numbers(const AttentionProblem& problem) { return even_keys(problem) * aligned(problem.k.head_dim); }

inline std::size_t rounded_bytes(const AttentionProblem& problem) {
  return is_narrow(problem) ? 0 : 2 * problem.k.kv_heads * rounded_numbers(problem) * sizeof(std::uint16_t);
}

/// All problems of a call, and where their rounded keys and values begin.
struct RoundedProblems {
  std::span<const AttentionProblem> problems;
  std::uint16_t* start;

  RoundedCache of(const AttentionProblem& problem) const {
    std::uint16_t* place = start;
    for (const AttentionProblem& before : problems.first(static_cast<std::size_t>(&problem - problems.data()))) {
      place += rounded_bytes(before) / sizeof(std::uint16_t);
    }
    return {place, place + problem.k.kv_heads * rounded_numbers(problem)};
  }
};

}  // namespace vitrine::flash
#endif

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

using namespace flash;

/// Neighbouring pairs of two vectors: numbers of `first` in the lower halves, of `second` in the upper ones.
HWY_INLINE void store_pairs(Vector first, Vector second, float* target) {
  const WordLanes words;
  const auto low = hn::ShiftRight<16>(hn::BitCast(words, rounded_to_bf16(first)));
  hn::StoreU(hn::BitCast(Lanes(), hn::Or(low, hn::BitCast(words, rounded_to_bf16(second)))), Lanes(), target);
}

/// Keys [first, first + key_block) of one head, and its values, rounded.
void round_block(const AttentionProblem& p, const RoundedCache& cache, std::size_t kv_head, std::size_t first, float* scratch) {
  const std::size_t padded = aligned(p.k.head_dim), end = std::min(first + key_block, p.k.kv_len), numbers = rounded_numbers(p);
  const FloatRows keys = rows_as_f32(p.k, kv_head, {first, end}, padded, scratch);
  for (std::size_t key = first; key < end; ++key) {
    std::uint16_t* target = cache.keys + kv_head * numbers + key * padded;
    for (std::size_t d = 0; d < padded; d += lanes) store_bf16(hn::LoadU(Lanes(), keys.data + (key - first) * keys.stride + d), target + d);
  }
  const FloatRows values = rows_as_f32(p.v, kv_head, {first, end}, padded, scratch);
  for (std::size_t key = first; key < end; key += 2) {
    auto* target = reinterpret_cast<float*>(cache.values + kv_head * numbers + key * padded);
    const float* row = values.data + (key - first) * values.stride;
    for (std::size_t d = 0; d < padded; d += lanes) {
      const Vector second = key + 1 < end ? hn::LoadU(Lanes(), row + values.stride + d) : hn::Zero(Lanes());
      store_pairs(hn::LoadU(Lanes(), row + d), second, target + d);
    }
  }
}

/// Weights of two keys beside each other, [key / 2, row].
struct WeightPairs {
  float* pairs;
  std::size_t stride;
  HWY_INLINE void store(std::size_t key, std::size_t row, Vector first, Vector second) const {
    store_pairs(first, second, pairs + key / 2 * stride + row);
  }
};

struct Pairs {
  RoundedCache cache;

  HWY_INLINE void load_queries(const Piece& piece, const Buffers& buffers) const {
    const AttentionProblem& p = *piece.problem;
    const std::size_t stride = stride_of(p), dim = p.k.head_dim;
    auto* target = reinterpret_cast<std::uint16_t*>(buffers.q);  // [head_dim / 2, stride, 2]
    for (std::size_t row = 0; row < stride; ++row) {  // those behind the last repeat it
      alignas(64) std::uint16_t numbers[most_dim];
      const float* q = query_at(piece, std::min(row, piece.rows() - 1));
      alignas(64) float biased[most_dim];
      if (!p.score.content.empty()) {
        for (std::size_t n = 0; n < dim; ++n) biased[n] = q[n] + p.score.content.key_bias(piece.kv_head, n);
        q = biased;
      }
      std::size_t d = 0;
      for (; d + lanes <= dim; d += lanes) store_bf16(hn::LoadU(Lanes(), q + d), numbers + d);
      for (; d < dim; ++d) numbers[d] = bf16_from_f32(q[d]);
      if (dim % 2 != 0) numbers[dim] = 0;
      for (d = 0; d < dim; d += 2) std::memcpy(target + d * stride + 2 * row, numbers + d, 2 * sizeof(std::uint16_t));
    }
  }

  HWY_INLINE void multiply_keys(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers) const {
    const AttentionProblem& p = *piece.problem;
    const std::size_t stride = stride_of(p), padded = aligned(p.k.head_dim);
    const std::uint16_t* keys = cache.keys + piece.kv_head * rounded_numbers(p) + first_key * padded;
    for (std::size_t key = 0; key < count; key += keys_at_once) {
      const std::size_t here = std::min(keys_at_once, count - key);
      const Range rows = rows_of_keys(piece, first_key + key, first_key + key + here);
      for (std::size_t row = rows.begin / 16 * 16; row < rows.end; row += packed_columns) {
        multiply_packed({.x = keys + key * padded, .x_stride = padded, .rows = here,
                         .weights = reinterpret_cast<const std::uint16_t*>(buffers.q) + 2 * row,
                         .inner = (p.k.head_dim + 1) / 2 * 2, .columns = std::min(packed_columns, aligned(rows.end) - row),
                         .bias = nullptr, .out = buffers.scores + key * stride + row, .out_stride = stride, .weights_step = 2 * stride});
      }
    }
  }

  HWY_INLINE WeightPairs weights(const Piece& piece, const Buffers& buffers) const { return {buffers.weights, stride_of(*piece.problem)}; }

  HWY_INLINE void add_values(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers, const Rows& rows) const {
    const AttentionProblem& p = *piece.problem;
    const std::size_t stride = stride_of(p), padded = aligned(p.k.head_dim);
    const std::uint16_t* values = cache.values + piece.kv_head * rounded_numbers(p) + first_key * padded;
    const bool whole = keys_of_rows(piece, 0, 1, first_key).end >= count && p.score.window == 0;
    const std::size_t rows_at_once = whole ? piece.rows() : 6;
    for (std::size_t row = 0; row < piece.rows(); row += rows_at_once) {
      const std::size_t here = std::min(rows_at_once, piece.rows() - row);
      Range keys = keys_of_rows(piece, row, here, first_key);
      keys = {keys.begin / 2 * 2, (std::min(keys.end, count) + 1) / 2 * 2};
      if (keys.begin >= keys.end) continue;
      const auto* weights = reinterpret_cast<const std::uint16_t*>(buffers.weights + keys.begin / 2 * stride + row);
      for (std::size_t d = 0; d < padded; d += packed_columns) {
        multiply_packed({.x = weights, .x_stride = 2, .rows = here, .weights = values + keys.begin * padded + 2 * d,
                         .inner = keys.end - keys.begin, .columns = std::min(packed_columns, padded - d), .bias = nullptr,
                         .out = rows.out + row * padded + d, .out_stride = padded, .x_step = 2 * stride,
                         .weights_step = 2 * padded, .accumulate = true});
      }
    }
  }

  static constexpr std::size_t keys_at_once = 12;  // two tiles of the product
};

/// Scores of a single query: queries and keys rounded as the products of blocks have them.
struct PairScores {
  HWY_INLINE void load_queries(const Piece& piece, const Buffers& buffers) const {
    const std::size_t dim = piece.problem->k.head_dim, padded = (dim + chunk - 1) / chunk * chunk;
    auto* target = reinterpret_cast<std::uint16_t*>(buffers.q);  // [row, padded]
    for (std::size_t row = 0; row < piece.rows(); ++row, target += padded) {
      for (std::size_t d = 0; d < dim; d += lanes) store_bf16(hn::LoadU(Lanes(), query_at(piece, row) + d), target + d);
      std::fill(target + dim, target + padded, std::uint16_t{0});
    }
  }

  template <class Numbers>
  HWY_INLINE void of_block(const Piece& piece, Range keys, const Buffers& buffers) const {
    const KvView& view = piece.problem->k;
    const KeyNumbers numbers = view.type == DType::f16 ? KeyNumbers::halves : view.type == DType::q8_0 ? KeyNumbers::bytes : KeyNumbers::nibbles;
    score_keys({.numbers = numbers, .keys = view.row(keys.begin, piece.kv_head), .row_bytes = static_cast<std::size_t>(view.row_bytes),
                .count = keys.end - keys.begin, .dim = view.head_dim, .q = reinterpret_cast<const std::uint16_t*>(buffers.q),
                .rows = piece.rows(), .scores = buffers.scores, .stride = key_block, .ahead = piece.problem->v.row(keys.begin, piece.kv_head)});
  }
};

Pairs pairs_of(const Piece& piece, const void* context) {
  return {static_cast<const RoundedProblems*>(context)->of(*piece.problem)};
}

void run_piece(const Piece& piece, const void* context, float* scratch) {
  if (is_narrow(*piece.problem)) return run_narrow_piece<PairScores>(piece, scratch);
  run_whole_piece(piece, pairs_of(piece, context), scratch);
}

void run_part(const Piece& piece, const void* context, std::size_t range, const Rows& partial, float* scratch) {
  if (is_narrow(*piece.problem)) return run_narrow_range<PairScores>(piece, range, partial, scratch);
  run_one_range(piece, pairs_of(piece, context), range, partial, scratch);
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

using namespace flash;

HWY_EXPORT(steps);
HWY_EXPORT(round_block);

PatternRule rule(const KernelOptions& options) {
  PatternRule made = rule_without_options("flash_bf16", options);
  made.bf16_factors = true;
  return made;
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const std::string types = refuse_cache_types(problem, CacheTypes::blocks_too);
  if (!types.empty()) return types;
  if (const std::string terms = refuse_terms(problem, KnownTerms::all); !terms.empty()) return terms;
  if (const std::string groups = refuse_groups(problem); !groups.empty()) return groups;
  if (!has_bf16_products()) return "a CPU with AVX-512 BF16 (and --simd AVX3)";
  if (problem.k.head_dim > most_dim) return "heads of at most " + std::to_string(most_dim) + " numbers";
  return refuse_too_many_keys(problem);
}

std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
  std::size_t bytes = scratch_numbers(problems, threads) * sizeof(float);
  for (const AttentionProblem& problem : problems) bytes += rounded_bytes(problem);
  return bytes;
}

std::size_t blocks_of(const AttentionProblem& problem) {
  return is_narrow(problem) ? 0 : (problem.k.kv_len + key_block - 1) / key_block * problem.k.kv_heads;
}

void round_caches(const KernelCall& call, const RoundedProblems& rounded, float* scratch) {
  std::size_t blocks = 0;
  for (const AttentionProblem& problem : call.problems) blocks += blocks_of(problem);
  const std::size_t numbers = worker_numbers(call.problems);
  call.pool.run(blocks, [&](std::size_t index, std::size_t worker) {
    const AttentionProblem* problem = call.problems.data();
    for (; index >= blocks_of(*problem); ++problem) index -= blocks_of(*problem);
    const std::size_t heads = problem->k.kv_heads;
    HWY_DYNAMIC_DISPATCH(round_block)(*problem, rounded.of(*problem), index % heads, index / heads * key_block, cut(scratch + worker * numbers, *problem).keys);
  });
}

void run(const KernelCall& call) {
  auto* scratch = reinterpret_cast<float*>(call.scratch.data());
  const std::size_t numbers = scratch_numbers(call.problems, call.pool.threads());
  const RoundedProblems rounded{call.problems, reinterpret_cast<std::uint16_t*>(scratch + numbers)};
  round_caches(call, rounded, scratch);
  run_tasks(call, scratch, HWY_DYNAMIC_DISPATCH(steps)(), &rounded);
}

}  // namespace

const AttentionKernel& attention_kernel_flash_bf16() {
  static const AttentionKernel kernel{"flash_bf16",
                                      "flash with bfloat16 products (AVX-512 BF16): scores to about three digits",
                                      "Dao et al. 2022, arXiv:2205.14135",
                                      "cpu",
                                      1e-2f,
                                      rule,
                                      refuses,
                                      scratch_bytes,
                                      run};
  return kernel;
}

}  // namespace vitrine
#endif
