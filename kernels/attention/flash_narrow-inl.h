// One position over a cache of fewer bits than f32: reading the cache is the work, so keys are not converted in memory and
// lanes lie along the head. The order of the sums is another one than in blocks; only an f32 cache promises the same bits
// for any split of the queries.
//
// History, SmolLM2 Q4_1 (9 heads on 3 key heads of 64) at depth 4,096, f16 cache, two cores of Zen 4, interleaved, tokens/s:
// keys of all heads side by side in the cache, f32 products        87.7
// a head's keys one behind the other: the hardware foresees them  120.9
// what is read next is prefetched a block ahead, scores in bf16   131.2; reads some 28 GB/s of the cache
// q8_0 rows this way, not in blocks                               as fast as f16 at depth 1,024, 1.06 times at 4,096
#if defined(VITRINE_FLASH_NARROW_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_FLASH_NARROW_INL_H
#undef VITRINE_FLASH_NARROW_INL_H
#else
#define VITRINE_FLASH_NARROW_INL_H
#endif

#include "kernels/attention/flash_blocks-inl.h"
#include "kernels/ops/bf16-inl.h"
#include "kernels/ops/reduce-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

constexpr std::size_t narrow_rows = 4;

// Numbers of a row of the cache from d on, `vectors` at once.

struct HalfNumbers {
  static constexpr std::size_t vectors = 1;
  static HWY_INLINE void load(const std::byte* row, std::size_t d, Vector* out) { *out = from_f16(reinterpret_cast<const std::uint16_t*>(row) + d); }
};

template <class Decoder>
struct BlockNumbers {
  static constexpr std::size_t vectors = chunk_vectors;
  static HWY_INLINE void load(const std::byte* row, std::size_t d, Vector* out) { Decoder::load(row, d / chunk, out); }
};

/// Part of the block that is read next, while this one is worked on: hardware alone foresees too little of it.
HWY_INLINE void prefetch_run(const std::byte* run, std::size_t bytes) {
  for (std::size_t line = 0; line < bytes; line += 64) hwy::Prefetch(run + line);
}

/// Calls task.operator()<count>(first row) for all rows, a few at a time.
template <class Task>
HWY_INLINE void in_strips(std::size_t rows, const Task& task) {
  std::size_t row = 0;
  for (; row + narrow_rows <= rows; row += narrow_rows) task.template operator()<narrow_rows>(row);
  for (; row + 3 <= rows; row += 3) task.template operator()<3>(row);
  for (; row < rows; ++row) task.template operator()<1>(row);
}

/// Products of queries and keys as they are, in f32. Queries lie [row, head_dim].
struct PlainScores {
  HWY_INLINE void load_queries(const Piece& piece, const Buffers& buffers) const {
    const std::size_t dim = piece.problem->k.head_dim;
    for (std::size_t row = 0; row < piece.rows(); ++row) std::copy_n(query_at(piece, row), dim, buffers.q + row * dim);
  }

  template <class Numbers>
  HWY_INLINE void of_block(const Piece& piece, Range keys, const Buffers& buffers) const {
    const KvView& view = piece.problem->k;
    const auto run = static_cast<std::size_t>(view.row_bytes) * four_sums;
    const std::byte* ahead = piece.problem->v.row(keys.begin, piece.kv_head);
    in_strips(piece.rows(), [&]<std::size_t count>(std::size_t row) HWY_ATTR {
      for (std::size_t key = keys.begin; key < keys.end; key += four_sums) {
        const std::byte* four[four_sums];
        for (std::size_t c = 0; c < four_sums; ++c) four[c] = view.row(std::min(key + c, keys.end - 1), piece.kv_head);
        if (row == 0) prefetch_run(ahead + (key - keys.begin) / four_sums * run, run);
        of_four<Numbers, count>(four, buffers.q + row * view.head_dim, view.head_dim, buffers.scores + row * key_block + key - keys.begin);
      }
    });
  }

 private:
  /// @param out  [rows, 4], key_block apart
  template <class Numbers, std::size_t rows>
  static HWY_INLINE void of_four(const std::byte* const (&keys)[four_sums], const float* q, std::size_t dim, float* out) {
    Vector sums[rows][four_sums];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      VITRINE_UNROLL
      for (std::size_t c = 0; c < four_sums; ++c) sums[r][c] = hn::Zero(Lanes());
    }
    for (std::size_t d = 0; d < dim; d += Numbers::vectors * lanes) {
      VITRINE_UNROLL
      for (std::size_t c = 0; c < four_sums; ++c) {
        Vector numbers[Numbers::vectors];
        Numbers::load(keys[c], d, numbers);
        VITRINE_UNROLL
        for (std::size_t v = 0; v < Numbers::vectors; ++v) {
          VITRINE_UNROLL
          for (std::size_t r = 0; r < rows; ++r) {
            sums[r][c] = hn::MulAdd(hn::LoadU(Lanes(), q + r * dim + d + v * lanes), numbers[v], sums[r][c]);
          }
        }
      }
    }
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) sums_of_four(sums[r], out + r * key_block);
  }
};

/// A problem's only position, for one key head: scores and weights are [row, key] here. Scores are made by the functor.
template <class Numbers, class Scores>
class NarrowPiece {
 public:
  NarrowPiece(const Piece& piece, const Buffers& buffers, const Rows& sums, const Scores& make_scores)
      : piece_(piece), buffers_(buffers), sums_(sums), make_scores_(make_scores), rows_(piece.rows()), dim_(piece.problem->k.head_dim),
        has_terms_(buffers.terms.bias || buffers.terms.allowed) {}

  template <bool stats>
  HWY_INLINE void add_block(Range keys) const {
    make_scores_.template of_block<Numbers>(piece_, keys, buffers_);
    if (has_terms_) load_narrow_terms(piece_, keys.begin, buffers_);
    for (std::size_t row = 0; row < rows_; ++row) softmax_row<stats>(row, keys);
    in_strips(rows_, [&]<std::size_t count>(std::size_t row) HWY_ATTR { values<count>(row, keys); });
  }

 private:
  float* score(std::size_t row) const { return buffers_.scores + row * key_block; }

  /// Scores to scaled, biased, capped and masked scores; returns the largest.
  template <bool with_terms>
  HWY_INLINE float finish_scores(std::size_t row, Range keys) const {
    const Lanes f;
    const hn::RebindToUnsigned<Lanes> words;
    const ScoreRule& rule = piece_.problem->score;
    const TermBuffers& terms = buffers_.terms;
    Vector top = hn::Set(f, minus_infinity);
    for (std::size_t j = 0; j < keys.end - keys.begin; j += lanes) {
      Vector number = hn::Mul(hn::LoadU(f, score(row) + j), hn::Set(f, rule.scale));
      if (with_terms && terms.bias) number = hn::Add(number, hn::LoadU(f, terms.bias + row * key_block + j));
      if (rule.soft_cap > 0.0f) {
        const Vector cap = hn::Set(f, rule.soft_cap);
        number = hn::Mul(cap, hn::Tanh(f, hn::Div(number, cap)));
      }
      const Vector key = hn::Iota(f, static_cast<float>(keys.begin + j));  // exact below 2^24
      const auto inside = hn::And(hn::Ge(key, hn::Set(f, buffers_.begin[row])), hn::Lt(key, hn::Set(f, buffers_.end[row])));
      number = hn::IfThenElse(hn::Or(inside, hn::Lt(key, hn::Set(f, buffers_.sinks[row]))), number, hn::Set(f, minus_infinity));
      if (with_terms && terms.allowed) {
        const auto hidden = hn::RebindMask(f, hn::Eq(hn::LoadU(words, terms.allowed + j), hn::Zero(words)));
        number = hn::IfThenElse(hidden, hn::Set(f, minus_infinity), number);
      }
      top = hn::Max(top, number);
      hn::StoreU(number, f, score(row) + j);
    }
    return hn::GetLane(hn::MaxOfLanes(f, top));
  }

  /// Scores to weights exp(score - top); older sums shrink where the maximum grew.
  template <bool stats>
  HWY_INLINE void softmax_row(std::size_t row, Range keys) const {
    const Lanes f;
    const float top_here = has_terms_ ? finish_scores<true>(row, keys) : finish_scores<false>(row, keys);
    const float top = std::max(sums_.top[row], top_here), base = top == minus_infinity ? 0.0f : top;
    const float keep = hn::GetLane(exp_of_negative(hn::Set(f, sums_.top[row] - base)));
    if (keep != 1.0f) scale_row(sums_.out + row * dim_, dim_, keep);
    Vector sum = hn::Zero(f), scores = hn::Zero(f), distances = hn::Zero(f);
    for (std::size_t j = 0; j < keys.end - keys.begin; j += lanes) {
      const Vector number = hn::LoadU(f, score(row) + j);
      const Vector weight = exp_of_negative(hn::Sub(number, hn::Set(f, base)));
      sum = hn::Add(sum, weight);
      if constexpr (stats) {
        const Vector key = hn::Iota(f, static_cast<float>(keys.begin + j));
        scores = hn::Add(scores, hn::IfThenElseZero(hn::Gt(weight, hn::Zero(f)), hn::Mul(weight, number)));
        distances = hn::MulAdd(weight, hn::AbsDiff(key, hn::Set(f, buffers_.position[row])), distances);
      }
      hn::StoreU(weight, f, score(row) + j);
    }
    const auto add = [&](float* total, Vector more) HWY_ATTR { total[row] = total[row] * keep + hn::GetLane(hn::SumOfLanes(f, more)); };
    sums_.top[row] = top;
    add(sums_.sum, sum);
    if constexpr (stats) {
      add(sums_.weighted_score, scores);
      add(sums_.weighted_distance, distances);
      sums_.first_key[row] = sums_.first_key[row] * keep + (keys.begin == 0 ? score(row)[0] : 0.0f);
    }
  }

  /// out += weights * values for rows [row, row + rows).
  template <std::size_t rows>
  HWY_INLINE void values(std::size_t row, Range keys) const {
    constexpr std::size_t most = Numbers::vectors < 4 ? 4 : Numbers::vectors;
    std::size_t d = 0;
    for (; d + most * lanes <= dim_; d += most * lanes) values_at<rows, most>(row, keys, d);
    for (; d < dim_; d += Numbers::vectors * lanes) values_at<rows, Numbers::vectors>(row, keys, d);
  }

  /// The same for numbers [d, d + vectors * lanes) of the head. The keys after these are prefetched meanwhile.
  template <std::size_t rows, std::size_t vectors>
  HWY_INLINE void values_at(std::size_t row, Range keys, std::size_t d) const {
    const KvView& view = piece_.problem->v;
    const auto step = static_cast<std::size_t>(piece_.problem->k.row_bytes);
    const std::byte* ahead = piece_.problem->k.row(keys.end, piece_.kv_head);
    Vector sums[rows][vectors];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = hn::LoadU(Lanes(), sums_.out + (row + r) * dim_ + d + v * lanes);
    }
    for (std::size_t j = keys.begin; j < keys.end; ++j) {
      const std::byte* value = view.row(j, piece_.kv_head);
      if (row == 0 && d == 0) prefetch_run(ahead + (j - keys.begin) * step, step);
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; v += Numbers::vectors) {
        Vector numbers[Numbers::vectors];
        Numbers::load(value, d + v * lanes, numbers);
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          const Vector weight = hn::Set(Lanes(), score(row + r)[j - keys.begin]);
          VITRINE_UNROLL
          for (std::size_t n = 0; n < Numbers::vectors; ++n) sums[r][v + n] = hn::MulAdd(weight, numbers[n], sums[r][v + n]);
        }
      }
    }
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) hn::StoreU(sums[r][v], Lanes(), sums_.out + (row + r) * dim_ + d + v * lanes);
    }
  }

  const Piece& piece_;
  const Buffers& buffers_;
  const Rows& sums_;
  const Scores& make_scores_;
  std::size_t rows_, dim_;
  bool has_terms_;
};

template <class Numbers, class Scores>
HWY_NOINLINE void run_narrow_keys(const Piece& piece, Range range, const Rows& rows, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const Scores make_scores;
  const NarrowPiece<Numbers, Scores> narrow(piece, buffers, rows, make_scores);
  make_scores.load_queries(piece, buffers);
  for (std::size_t first_key = range.begin; first_key < range.end; first_key += key_block) {
    if (!block_matters(piece, first_key)) continue;
    const Range keys{first_key, std::min(range.end, first_key + key_block)};
    if (p.stats.empty()) {
      narrow.template add_block<false>(keys);
    } else {
      narrow.template add_block<true>(keys);
    }
  }
}

/// One range of the piece's keys, its sums into `rows`.
template <class Scores>
HWY_INLINE void run_narrow_range(const Piece& piece, std::size_t range, const Rows& rows, float* scratch) {
  const AttentionProblem& p = *piece.problem;
  const Buffers buffers = cut(scratch, p);
  load_visibility(piece, buffers);
  clear(rows, aligned(piece.rows()), aligned(p.k.head_dim));
  const Range keys{range * range_keys, std::min(p.k.kv_len, (range + 1) * range_keys)};
  if (p.k.type == DType::f16) return run_narrow_keys<HalfNumbers, Scores>(piece, keys, rows, buffers);
  if (p.k.type == DType::q8_0) return run_narrow_keys<BlockNumbers<Q8_0Rows>, Scores>(piece, keys, rows, buffers);
  run_narrow_keys<BlockNumbers<Q4_1Rows>, Scores>(piece, keys, rows, buffers);
}

template <class Scores>
HWY_INLINE void run_narrow_piece(const Piece& piece, float* scratch) {
  const Buffers buffers = cut(scratch, *piece.problem);
  run_narrow_range<Scores>(piece, 0, buffers.total, scratch);
  store_rows(piece, buffers.total);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
