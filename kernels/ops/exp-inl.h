// The exponential function of numbers that are not positive: what softmax, silu and gelu need, at half the cost of a general
// one.

#if defined(VITRINE_EXP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_EXP_INL_H
#undef VITRINE_EXP_INL_H
#else
#define VITRINE_EXP_INL_H
#endif

#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

/// exp(x) for x <= 0, or a little above: 2^n 2^f with n whole and |f| <= 1/2; our own fit of degree 6, within 2e-8. Below 2^-126
/// it is 0; what is not a number stays so.
template <class D>
HWY_INLINE hn::Vec<D> exp_of_negative(D f, hn::Vec<D> x) {
  constexpr float fit[] = {1.0f, 0.6931472f, 0.24022648f, 0.055503324f, 0.009618437f, 0.0013398875f, 0.0001535336f};
  const hn::RebindToSigned<D> whole;
  const auto power = hn::Mul(x, hn::Set(f, 1.44269504f));
  const auto magic = hn::Set(f, 12582912.0f);  // 1.5 * 2^23: the sum's last bits are the nearest whole number
  const auto shifted = hn::Add(power, magic);
  const auto rest = hn::Sub(power, hn::Sub(shifted, magic));
  auto result = hn::Set(f, fit[6]);
  VITRINE_UNROLL
  for (int i = 5; i >= 0; --i) result = hn::MulAdd(result, rest, hn::Set(f, fit[i]));
  const auto bits = hn::Add(hn::BitCast(whole, result), hn::ShiftLeft<23>(hn::BitCast(whole, shifted)));
  return hn::IfThenElse(hn::Lt(power, hn::Set(f, -126.0f)), hn::Zero(f), hn::BitCast(f, bits));
}

HWY_INLINE Vector exp_of_negative(Vector x) { return exp_of_negative(Lanes(), x); }

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
