// One position over a half-precision cache: reading the cache is the work, so keys are not converted in memory and lanes
// lie along the head. The order of the sums is another one than in blocks; only an f32 cache promises the same bits for
// any split of the queries.

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

/// Whether a problem may take that way.
HWY_INLINE bool is_narrow(const AttentionProblem& p) {
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

/// Queries and keys as the products of blocks have them: as they are, or rounded to bfloat16.
struct AsStored {
  static HWY_INLINE Vector of(Vector x) { return x; }
};
struct RoundedToBf16 {
  static HWY_INLINE Vector of(Vector x) { return rounded_to_bf16(x); }
};

/// A problem's only position, for one key head: scores and weights are [row, key] here.
template <class Factors>
class NarrowPiece {
 public:
  NarrowPiece(const Piece& piece, const Buffers& buffers, const Rows& sums)
      : piece_(piece), buffers_(buffers), sums_(sums), rows_(piece.rows()), dim_(piece.problem->k.head_dim) {}

  HWY_INLINE void load_queries() const {
    for (std::size_t row = 0; row < rows_; ++row) {
      const float* q = &piece_.problem->q(piece_.first, piece_.kv_head * rows_ + row, 0);
      for (std::size_t d = 0; d < dim_; d += lanes) {
        hn::StoreU(Factors::of(hn::LoadU(Lanes(), q + d)), Lanes(), buffers_.q + row * dim_ + d);
      }
    }
  }

  template <bool stats>
  HWY_INLINE void add_block(Range keys) const {
    in_strips([&]<std::size_t count>(std::size_t row) HWY_ATTR {
      for (std::size_t key = keys.begin; key < keys.end; key += four_sums) scores<count>(row, {key, keys.end}, key - keys.begin);
    });
    for (std::size_t row = 0; row < rows_; ++row) softmax_row<stats>(row, keys);
    in_strips([&]<std::size_t count>(std::size_t row) HWY_ATTR { values<count>(row, keys); });
  }

 private:
  float* score(std::size_t row) const { return buffers_.scores + row * key_block; }

  /// Calls task.operator()<rows>(first row) for all rows, a few at a time.
  template <class Task>
  HWY_INLINE void in_strips(const Task& task) const {
    std::size_t row = 0;
    for (; row + narrow_rows <= rows_; row += narrow_rows) task.template operator()<narrow_rows>(row);
    for (; row + 3 <= rows_; row += 3) task.template operator()<3>(row);
    for (; row < rows_; ++row) task.template operator()<1>(row);
  }

  /// Scores of rows [row, row + rows) against keys [first, first + 4), of which those before `keys.end` exist.
  template <std::size_t rows>
  HWY_INLINE void scores(std::size_t row, Range keys, std::size_t column) const {
    const KvView& view = piece_.problem->k;
    const std::uint16_t* key[four_sums];
    Vector sums[rows][four_sums];
    VITRINE_UNROLL
    for (std::size_t c = 0; c < four_sums; ++c) {
      key[c] = half_row(view, std::min(keys.begin + c, keys.end - 1), piece_.kv_head);
      prefetch_row(view, keys.begin + c, piece_.kv_head);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) sums[r][c] = hn::Zero(Lanes());
    }
    for (std::size_t d = 0; d < dim_; d += lanes) {
      VITRINE_UNROLL
      for (std::size_t c = 0; c < four_sums; ++c) {
        const Vector numbers = Factors::of(from_f16(key[c] + d));
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          sums[r][c] = hn::MulAdd(hn::LoadU(Lanes(), buffers_.q + (row + r) * dim_ + d), numbers, sums[r][c]);
        }
      }
    }
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) sums_of_four(sums[r], score(row + r) + column);
  }

  /// Scores to scaled, capped and masked scores; returns the largest.
  HWY_INLINE float finish_scores(std::size_t row, Range keys) const {
    const Lanes f;
    const ScoreRule& rule = piece_.problem->score;
    Vector top = hn::Set(f, minus_infinity);
    for (std::size_t j = 0; j < keys.end - keys.begin; j += lanes) {
      Vector number = hn::Mul(hn::LoadU(f, score(row) + j), hn::Set(f, rule.scale));
      if (rule.soft_cap > 0.0f) {
        const Vector cap = hn::Set(f, rule.soft_cap);
        number = hn::Mul(cap, hn::Tanh(f, hn::Div(number, cap)));
      }
      const Vector key = hn::Iota(f, static_cast<float>(keys.begin + j));  // exact below 2^24
      const auto inside = hn::And(hn::Ge(key, hn::Set(f, buffers_.begin[row])), hn::Lt(key, hn::Set(f, buffers_.end[row])));
      number = hn::IfThenElse(hn::Or(inside, hn::Lt(key, hn::Set(f, buffers_.sinks[row]))), number, hn::Set(f, minus_infinity));
      top = hn::Max(top, number);
      hn::StoreU(number, f, score(row) + j);
    }
    return hn::GetLane(hn::MaxOfLanes(f, top));
  }

  /// Scores to weights exp(score - top); older sums shrink where the maximum grew.
  template <bool stats>
  HWY_INLINE void softmax_row(std::size_t row, Range keys) const {
    const Lanes f;
    const float top = std::max(sums_.top[row], finish_scores(row, keys)), base = top == minus_infinity ? 0.0f : top;
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
    constexpr std::size_t vectors = 4;
    const KvView& view = piece_.problem->v;
    for (std::size_t d = 0; d < dim_; d += vectors * lanes) {
      const std::size_t here = std::min(vectors, (dim_ - d) / lanes);
      Vector sums[rows][vectors];
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        VITRINE_UNROLL
        for (std::size_t v = 0; v < vectors; ++v) {
          sums[r][v] = v < here ? hn::LoadU(Lanes(), sums_.out + (row + r) * dim_ + d + v * lanes) : hn::Zero(Lanes());
        }
      }
      for (std::size_t j = keys.begin; j < keys.end; ++j) {
        const std::uint16_t* value = half_row(view, j, piece_.kv_head) + d;
        if (d == 0) prefetch_row(view, j, piece_.kv_head);
        VITRINE_UNROLL
        for (std::size_t v = 0; v < vectors; ++v) {
          if (v >= here) break;
          const Vector numbers = from_f16(value + v * lanes);
          VITRINE_UNROLL
          for (std::size_t r = 0; r < rows; ++r) {
            sums[r][v] = hn::MulAdd(hn::Set(Lanes(), score(row + r)[j - keys.begin]), numbers, sums[r][v]);
          }
        }
      }
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        VITRINE_UNROLL
        for (std::size_t v = 0; v < vectors; ++v) {
          if (v < here) hn::StoreU(sums[r][v], Lanes(), sums_.out + (row + r) * dim_ + d + v * lanes);
        }
      }
    }
  }

  const Piece& piece_;
  const Buffers& buffers_;
  const Rows& sums_;
  std::size_t rows_, dim_;
};

/// One range of the piece's keys, its sums into `rows`.
template <class Factors>
HWY_INLINE void run_narrow_range(const Piece& piece, std::size_t range, const Rows& rows, float* scratch) {
  const AttentionProblem& p = *piece.problem;
  const Buffers buffers = cut(scratch, p);
  load_visibility(piece, buffers);
  clear(rows, stride_of(p), aligned(p.k.head_dim));
  const NarrowPiece<Factors> narrow(piece, buffers, rows);
  narrow.load_queries();
  const std::size_t end = std::min(p.k.kv_len, (range + 1) * range_keys);
  for (std::size_t first_key = range * range_keys; first_key < end; first_key += key_block) {
    if (!block_matters(piece, first_key)) continue;
    const Range keys{first_key, std::min(end, first_key + key_block)};
    if (p.stats.empty()) {
      narrow.template add_block<false>(keys);
    } else {
      narrow.template add_block<true>(keys);
    }
  }
}

template <class Factors>
HWY_INLINE void run_narrow_piece(const Piece& piece, float* scratch) {
  const Buffers buffers = cut(scratch, *piece.problem);
  run_narrow_range<Factors>(piece, 0, buffers.total, scratch);
  store_rows(piece, buffers.total);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
