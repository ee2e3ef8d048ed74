// The running softmax of flash: scores of one block of keys, [key, row], become weights; each lane is a row, so that no
// sum crosses lanes.

#if defined(VITRINE_FLASH_SOFTMAX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_FLASH_SOFTMAX_INL_H
#undef VITRINE_FLASH_SOFTMAX_INL_H
#else
#define VITRINE_FLASH_SOFTMAX_INL_H
#endif

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "hwy/contrib/math/math-inl.h"
#include "kernels/attention/flash_terms-inl.h"
#include "kernels/ops/exp-inl.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

using namespace flash;
using RowMask = hn::Mask<Lanes>;

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// What an exponent is taken relative to: 0 where nothing is visible yet.
HWY_INLINE Vector base_of(Vector top) {
  return hn::IfThenElse(hn::Eq(top, hn::Set(Lanes(), minus_infinity)), hn::Zero(Lanes()), top);
}

/// Where a weight goes: over its score.
struct WeightsInPlace {
  float* scores;
  std::size_t stride;
  HWY_INLINE void store(std::size_t key, std::size_t row, Vector first, Vector second) const {
    hn::StoreU(first, Lanes(), scores + key * stride + row);
    hn::StoreU(second, Lanes(), scores + (key + 1) * stride + row);
  }
};

/// One vector of rows, from `row` on, against keys [first_key + keys.begin, first_key + keys.end).
struct Column {
  const Piece& piece;
  const Buffers& buffers;
  std::size_t row, stride, first_key;
  Range keys;  // even borders

  HWY_INLINE float* score(std::size_t key) const { return buffers.scores + key * stride + row; }
};

HWY_INLINE RowMask visible_rows(const Column& column, std::size_t key) {
  const Lanes f;
  const Vector number = hn::Set(f, static_cast<float>(column.first_key + key));
  const auto inside = hn::And(hn::Ge(number, hn::LoadU(f, column.buffers.begin + column.row)),
                              hn::Lt(number, hn::LoadU(f, column.buffers.end + column.row)));
  return hn::Or(inside, hn::Lt(number, hn::LoadU(f, column.buffers.sinks + column.row)));
}

/// Whether every row sees every key of the column.
HWY_INLINE bool is_whole(const Column& column) {
  const AttentionProblem& p = *column.piece.problem;
  const std::size_t last = std::min(column.row + lanes, column.piece.rows()) - 1;
  return visible_range(p, column.piece.position(last)).begin <= column.first_key + column.keys.begin &&
         visible_range(p, column.piece.position(column.row)).end >= column.first_key + column.keys.end;
}

/// Adds biases, caps and masks the scores where that is needed. Returns the factor that is still to be applied to them; whether it is
/// depends on the problem alone, so that a row's rounding does not depend on the rows beside it.
HWY_INLINE Vector finish_scores(const Column& column) {
  const Lanes f;
  const ScoreRule& rule = column.piece.problem->score;
  const TermBuffers& terms = column.buffers.terms;
  const bool later = rule.soft_cap <= 0.0f && rule.scale > 0.0f && !terms.bias, whole = is_whole(column) && !terms.allowed;
  if (later && whole) return hn::Set(f, rule.scale);
  const std::size_t group = group_of(*column.piece.problem);
  const float* bias = terms.bias ? terms.bias + group * key_block + column.row : nullptr;  // of key 0
  for (std::size_t key = column.keys.begin; key < column.keys.end; ++key) {
    Vector score = hn::LoadU(f, column.score(key));
    if (!later) score = hn::Mul(score, hn::Set(f, rule.scale));
    if (bias) score = hn::Add(score, hn::LoadU(f, bias - group * key));
    if (rule.soft_cap > 0.0f) {
      const Vector cap = hn::Set(f, rule.soft_cap);
      score = hn::Mul(cap, hn::Tanh(f, hn::Div(score, cap)));
    }
    if (!whole) score = hn::IfThenElse(visible_rows(column, key), score, hn::Set(f, minus_infinity));
    if (terms.allowed) score = hn::IfThenElse(allowed_rows(column.buffers, column.stride, key, column.row), score, hn::Set(f, minus_infinity));
    hn::StoreU(score, f, column.score(key));
  }
  return hn::Set(f, later ? rule.scale : 1.0f);
}

HWY_INLINE Vector largest_score(const Column& column) {
  const Lanes f;
  Vector even = hn::Set(f, minus_infinity), odd = even;
  for (std::size_t key = column.keys.begin; key < column.keys.end; key += 2) {
    even = hn::Max(even, hn::LoadU(f, column.score(key)));
    odd = hn::Max(odd, hn::LoadU(f, column.score(key + 1)));
  }
  return hn::Max(even, odd);
}

/// Sums over the keys of one block, a lane a row.
struct Sums {
  Vector sum, score, distance;
};

/// What a score's weight is made with.
struct Exponent {
  Vector factor, base;
};

template <bool stats>
HWY_INLINE Vector add_weight(const Column& column, std::size_t key, const Exponent& exponent, Sums& sums) {
  const Lanes f;
  const Vector score = hn::Mul(hn::LoadU(f, column.score(key)), exponent.factor);  // rounded, as the largest was
  const Vector weight = exp_of_negative(hn::Sub(score, exponent.base));
  sums.sum = hn::Add(sums.sum, weight);
  if constexpr (stats) {
    const Vector position = hn::LoadU(f, column.buffers.position + column.row);
    const Vector distance = hn::AbsDiff(position, hn::Set(f, static_cast<float>(column.first_key + key)));
    sums.score = hn::Add(sums.score, hn::IfThenElseZero(hn::Gt(weight, hn::Zero(f)), hn::Mul(weight, score)));
    sums.distance = hn::MulAdd(weight, distance, sums.distance);
  }
  return weight;
}

HWY_INLINE void add_to(float* total, Vector keep, Vector more) {
  hn::StoreU(hn::MulAdd(hn::LoadU(Lanes(), total), keep, more), Lanes(), total);
}

/// Scores of a vector of rows to weights exp(score - top). Returns whether older sums shrink, by buffers.keep.
template <bool stats, class Weights>
HWY_INLINE bool softmax_column(const Column& column, const Rows& rows, const Weights& weights) {
  const Lanes f;
  const std::size_t row = column.row;
  const Vector factor = finish_scores(column), old_top = hn::LoadU(f, rows.top + row);
  const Vector top = hn::Max(hn::Mul(largest_score(column), factor), old_top);
  const Exponent exponent{factor, base_of(top)};
  const Vector keep = exp_of_negative(hn::Sub(old_top, exponent.base));
  Sums sums{hn::Zero(f), hn::Zero(f), hn::Zero(f)};
  Vector first_weight = hn::Zero(f);
  for (std::size_t key = column.keys.begin; key < column.keys.end; key += 2) {
    const Vector first = add_weight<stats>(column, key, exponent, sums);
    const Vector second = add_weight<stats>(column, key + 1, exponent, sums);
    if (stats && column.first_key + key == 0) first_weight = first;
    weights.store(key, row, first, second);
  }
  hn::StoreU(top, f, rows.top + row);
  hn::StoreU(keep, f, column.buffers.keep + row);
  add_to(rows.sum + row, keep, sums.sum);
  if constexpr (stats) {
    add_to(rows.weighted_score + row, keep, sums.score);
    add_to(rows.weighted_distance + row, keep, sums.distance);
    add_to(rows.first_key + row, keep, first_weight);
  }
  return !hn::AllTrue(f, hn::Eq(keep, hn::Set(f, 1.0f)));
}

/// The whole block: every row's scores to weights, zeros where a row of the same vector sees a key and it does not.
/// @returns whether buffers.keep is anything but ones
template <bool stats, class Weights>
bool softmax_block(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers, const Rows& rows,
                   const Weights& weights) {
  const std::size_t stride = stride_of(*piece.problem), even = (count + 1) / 2 * 2;
  bool shrinks = false;
  for (std::size_t row = 0; row < stride; row += lanes) {
    Range keys{0, 0};
    if (row < piece.rows()) keys = keys_of_rows(piece, row, lanes, first_key);
    keys = {std::min(keys.begin / 2 * 2, even), std::min((keys.end + 1) / 2 * 2, even)};
    const Vector none = hn::Zero(Lanes());
    for (std::size_t key = 0; key < even; key += 2) {
      if (key < keys.begin || key >= keys.end) weights.store(key, row, none, none);
    }
    if (keys.begin < keys.end) {
      shrinks |= softmax_column<stats>({piece, buffers, row, stride, first_key, keys}, rows, weights);
    } else {
      hn::StoreU(hn::Set(Lanes(), 1.0f), Lanes(), buffers.keep + row);
    }
  }
  return shrinks;
}

/// What each row of the piece sees, for all its blocks.
HWY_INLINE void load_visibility(const Piece& piece, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  for (std::size_t row = 0; row < stride_of(p); ++row) {
    const std::size_t position = piece.position(row);
    const Range range = visible_range(p, position);
    buffers.position[row] = static_cast<float>(position);
    buffers.begin[row] = static_cast<float>(range.begin);
    buffers.end[row] = static_cast<float>(range.end);
    buffers.sinks[row] = static_cast<float>(sinks_of(p, position));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
