// Rounding to bfloat16 as core/base/half.h defines it: to nearest even, NaN stays NaN.

#if defined(VITRINE_BF16_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_BF16_INL_H
#undef VITRINE_BF16_INL_H
#else
#define VITRINE_BF16_INL_H
#endif

#include <cstdint>

#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

/// To the nearest bfloat16 (to even), as an f32. For numbers, infinities included.
HWY_INLINE Vector rounded_to_bf16(Vector x) {
  const WordLanes words;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7fff)));
  return hn::BitCast(Lanes(), hn::And(rounded, hn::Set(words, 0xffff0000u)));
}

HWY_INLINE void store_bf16(Vector numbers, std::uint16_t* out) {
  const WordLanes words;
  const auto bits = hn::BitCast(words, numbers), high = hn::ShiftRight<16>(bits);
  const auto round = hn::Add(hn::And(high, hn::Set(words, 1)), hn::Set(words, 0x7fff));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, round));
  const auto quiet = hn::Or(high, hn::Set(words, 0x40));
  const auto result = hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(numbers)), quiet, rounded);
  hn::StoreU(hn::TruncateTo(ShortLanes(), result), ShortLanes(), out);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
