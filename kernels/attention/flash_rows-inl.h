// A row of scores against one block of keys: scale, cap, mask, and the running softmax.

#if defined(VITRINE_FLASH_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_FLASH_ROWS_INL_H
#undef VITRINE_FLASH_ROWS_INL_H
#else
#define VITRINE_FLASH_ROWS_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "kernels/attention/flash_internal.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

using namespace flash;

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
      const Vector distance =
          hn::AbsDiff(counting(place.first_key + j), hn::Set(f, static_cast<float>(place.position)));
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

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
