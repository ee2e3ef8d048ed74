// Sums over the lanes of four vectors at once.

#if defined(VITRINE_REDUCE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_REDUCE_INL_H
#undef VITRINE_REDUCE_INL_H
#else
#define VITRINE_REDUCE_INL_H
#endif

#include <cstddef>

#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

constexpr std::size_t four_sums = 4;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void sums_of_four(const Vector (&sums)[four_sums], float* out) {
  VITRINE_UNROLL
  for (std::size_t c = 0; c < four_sums; ++c) out[c] = hn::GetLane(sums[c]);
}
#else
using Four = hn::FixedTag<float, 4>;

/// Adds the 128-bit blocks of a vector pairwise, halves first, until one is left.
template <class D>
HWY_INLINE hn::Vec<Four> folded(D d, hn::Vec<D> blocks) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return blocks;
  } else {
    const hn::Half<D> half;
    return folded(half, hn::Add(hn::LowerHalf(half, blocks), hn::UpperHalf(half, blocks)));
  }
}

/// The sums over the lanes of four vectors: (l0 + l2) + (l1 + l3) within 128 bits, then the blocks.
HWY_INLINE void sums_of_four(const Vector (&sums)[four_sums], float* out) {
  const Lanes f;
  const hn::Repartition<double, Lanes> pairs;
  const auto interleaved = [f](Vector x, Vector y)
                               HWY_ATTR { return hn::Add(hn::InterleaveLower(f, x, y), hn::InterleaveUpper(f, x, y)); };
  const auto ab = hn::BitCast(pairs, interleaved(sums[0], sums[1])),
             cd = hn::BitCast(pairs, interleaved(sums[2], sums[3]));
  const Vector blocks =
      hn::Add(hn::BitCast(f, hn::InterleaveLower(pairs, ab, cd)), hn::BitCast(f, hn::InterleaveUpper(pairs, ab, cd)));
  hn::StoreU(folded(f, blocks), Four(), out);
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
