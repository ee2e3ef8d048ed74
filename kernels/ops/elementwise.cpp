#include "kernels/ops/elementwise.h"

#include <algorithm>
#include <cmath>

#include "core/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/elementwise.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"
#include "kernels/ops/exp-inl.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

using One = hn::CappedTag<float, 1>;

/// Calls operation(tag, index) for whole vectors, then for single numbers, whose arithmetic is the same.
template <class Operation>
HWY_INLINE void each(std::size_t count, const Operation& operation) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) operation(Lanes(), i);
  for (; i < count; ++i) operation(One(), i);
}

/// Sum of operation(tag, index) over whole vectors in f32 lanes, then the rest.
template <class Operation>
HWY_INLINE float sum_of(std::size_t count, const Operation& operation) {
  Vector sum = hn::Zero(Lanes());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = hn::Add(sum, operation(Lanes(), i));
  float total = hn::GetLane(hn::SumOfLanes(Lanes(), sum));
  for (; i < count; ++i) total += hn::GetLane(operation(One(), i));
  return total;
}

void normalize(NormKind kind, float epsilon, const NormRow& row) {
  const auto width = static_cast<double>(row.width);
  float mean = 0.0f, rest = 0.0f;  // the mean in two parts: one f32 would cost digits where all numbers are alike
  const auto centred = [&](auto d, std::size_t i) HWY_ATTR {
    return hn::Sub(hn::Sub(hn::LoadU(d, row.x + i), hn::Set(d, mean)), hn::Set(d, rest));
  };
  if (kind == NormKind::layer) {
    mean = static_cast<float>(sum_of(row.width, centred) / width);
    rest = static_cast<float>(sum_of(row.width, centred) / width);
  }
  const float squares = sum_of(row.width, [&](auto d, std::size_t i) HWY_ATTR {
    const auto x = centred(d, i);
    return hn::Mul(x, x);
  });
  const double denominator = std::sqrt(squares / width + static_cast<double>(epsilon));
  if (row.scale) *row.scale = static_cast<float>(denominator);
  const auto inverse = static_cast<float>(1.0 / denominator);
  each(row.width, [&](auto d, std::size_t i) HWY_ATTR {
    auto value = hn::Mul(centred(d, i), hn::Set(d, inverse));
    if (row.gain) value = hn::Mul(value, hn::LoadU(d, row.gain + i));
    if (row.shift) value = hn::Add(value, hn::LoadU(d, row.shift + i));
    hn::StoreU(value, d, row.out + i);
  });
}

/// 1 / (1 + exp(-x)); for x < 0 as exp(x) / (1 + exp(x)), which keeps the digits of small results.
template <class D>
HWY_INLINE hn::Vec<D> logistic(D d, hn::Vec<D> x) {
  const auto one = hn::Set(d, 1.0f), small = exp_of_negative(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), small, one), hn::Add(one, small));
}

/// erfc(z) for z >= 0 as t exp(-z^2 + P(t)), t = 1 / (1 + z / 2) (the form of Numerical Recipes, 6.2.2); P is our own
/// fit of degree 9 on Chebyshev nodes for z <= 10, within 5e-8.
template <class D>
HWY_INLINE hn::Vec<D> erfc_of_positive(D d, hn::Vec<D> z) {
  constexpr float fit[] = {-1.265448f,     0.998632783f, 0.386640412f, 0.0346028f,    0.00126758626f,
                           -0.0802804316f, -0.6962519f,  1.15673376f,  -0.680827179f, 0.144930214f};
  const auto one = hn::Set(d, 1.0f);
  const auto t = hn::Div(one, hn::MulAdd(z, hn::Set(d, 0.5f), one));
  auto polynomial = hn::Set(d, fit[9]);
  for (int i = 8; i >= 0; --i) polynomial = hn::MulAdd(polynomial, t, hn::Set(d, fit[i]));
  return hn::Mul(t, exp_of_negative(d, hn::Sub(polynomial, hn::Mul(z, z))));
}

template <class D>
HWY_INLINE hn::Vec<D> activated(D d, Activation activation, hn::Vec<D> x) {
  switch (activation) {
    case Activation::gelu_erf: {  // x Phi(x); Phi(x) = erfc(-x / sqrt 2) / 2, so that negative tails keep their digits
      const auto tail = hn::Mul(hn::Set(d, 0.5f), erfc_of_positive(d, hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f))));
      return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail)));
    }
    case Activation::gelu_tanh: {  // (1 + tanh u) / 2 is the logistic function of 2u
      const auto cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), x), hn::Set(d, 0.044715f), x);
      return hn::Mul(x, logistic(d, hn::Mul(hn::Set(d, 2.0f * 0.79788456f), cubic)));
    }
    case Activation::silu:
      return hn::Mul(x, logistic(d, x));
    case Activation::relu:
      return hn::Max(x, hn::Zero(d));
    case Activation::tanh: {  // (1 - e) / (1 + e), e = exp(-2 |x|); small arguments by the series, which keeps their digits
      const auto one = hn::Set(d, 1.0f), e = exp_of_negative(d, hn::Mul(hn::Set(d, -2.0f), hn::Abs(x))), square = hn::Mul(x, x);
      const auto large = hn::CopySign(hn::Div(hn::Sub(one, e), hn::Add(one, e)), x);
      auto series = hn::MulAdd(square, hn::Set(d, -17.0f / 315.0f), hn::Set(d, 2.0f / 15.0f));
      series = hn::MulAdd(square, hn::MulAdd(square, series, hn::Set(d, -1.0f / 3.0f)), one);
      return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 0.1f)), hn::Mul(x, series), large);
    }
  }
  return x;
}

void activate(Activation activation, std::span<const float> pre, const float* linear, float* out) {
  each(pre.size(), [&](auto d, std::size_t i) HWY_ATTR {
    auto value = activated(d, activation, hn::LoadU(d, pre.data() + i));
    if (linear) value = hn::Mul(value, hn::LoadU(d, linear + i));
    hn::StoreU(value, d, out + i);
  });
}

void soft_cap(float cap, std::span<float> x) {
  each(x.size(), [&](auto d, std::size_t i) HWY_ATTR {
    const auto ratio = hn::Div(hn::LoadU(d, x.data() + i), hn::Set(d, cap));
    hn::StoreU(hn::Mul(activated(d, Activation::tanh, ratio), hn::Set(d, cap)), d, x.data() + i);
  });
}

void add(std::span<const float> a, const float* b, float* out) {
  each(a.size(), [&](auto d, std::size_t i)
                     HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, a.data() + i), hn::LoadU(d, b + i)), d, out + i); });
}

void rotate(RopeKind kind, const RotateRow& row) {
  each(row.pairs, [&](auto d, std::size_t i) HWY_ATTR {
    const auto cosine = hn::LoadU(d, row.cosine + i), sine = hn::LoadU(d, row.sine + i);
    auto first = hn::Zero(d), second = hn::Zero(d);
    if (kind == RopeKind::half) {
      first = hn::LoadU(d, row.x + i);
      second = hn::LoadU(d, row.x + row.pairs + i);
    } else {
      hn::LoadInterleaved2(d, row.x + 2 * i, first, second);
    }
    const auto a = hn::Sub(hn::Mul(first, cosine), hn::Mul(second, sine));
    const auto b = hn::Add(hn::Mul(second, cosine), hn::Mul(first, sine));
    if (kind == RopeKind::half) {
      hn::StoreU(a, d, row.out + i);
      hn::StoreU(b, d, row.out + row.pairs + i);
    } else {
      hn::StoreInterleaved2(a, b, d, row.out + 2 * i);
    }
  });
}

bool store_f16(std::span<const float> x, std::uint16_t* out) {
  constexpr float largest = 65504.0f;
  bool fits = true;
  std::size_t i = 0;
#if HWY_TARGET <= HWY_AVX2
  const Lanes f;
  auto too_large = hn::Lt(hn::Zero(f), hn::Zero(f));
  for (; i + lanes <= x.size(); i += lanes) {
    const auto numbers = hn::LoadU(f, x.data() + i), size = hn::Abs(numbers);
    too_large = hn::Or(too_large, hn::And(hn::Gt(size, hn::Set(f, largest)), hn::Lt(size, hn::Inf(f))));
    hn::StoreU(hn::DemoteTo(HalfLanes(), numbers), HalfLanes(), reinterpret_cast<hwy::float16_t*>(out + i));
  }
  fits = hn::AllFalse(f, too_large);
#endif
  for (; i < x.size(); ++i) {
    fits = fits && !(std::abs(x[i]) > largest && std::isfinite(x[i]));
    out[i] = f16_from_f32(x[i]);
  }
  return fits;
}

float largest_of(std::span<const float> x) {
  Vector largest = hn::Set(Lanes(), x[0]);
  std::size_t i = 0;
  for (; i + lanes <= x.size(); i += lanes) largest = hn::Max(largest, hn::LoadU(Lanes(), x.data() + i));
  float top = hn::GetLane(hn::MaxOfLanes(Lanes(), largest));
  for (; i < x.size(); ++i) top = std::max(top, x[i]);
  return top;
}

double log_sum(std::span<const float> x) {
  constexpr std::size_t block = 256;  // f32 sums of this many, then doubles
  const float top = largest_of(x);
  double total = 0.0;
  for (std::size_t begin = 0; begin < x.size(); begin += block) {
    const float* from = x.data() + begin;
    total += sum_of(std::min(block, x.size() - begin), [&](auto d, std::size_t i) HWY_ATTR {
      return exp_of_negative(d, hn::Sub(hn::LoadU(d, from + i), hn::Set(d, top)));
    });
  }
  return static_cast<double>(top) + std::log(total);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(normalize);
HWY_EXPORT(activate);
HWY_EXPORT(soft_cap);
HWY_EXPORT(add);
HWY_EXPORT(rotate);
HWY_EXPORT(store_f16);
HWY_EXPORT(log_sum);

}  // namespace

void normalize_row(NormKind kind, float epsilon, const NormRow& row) {
  HWY_DYNAMIC_DISPATCH(normalize)(kind, epsilon, row);
}

void activate_row(Activation activation, std::span<const float> pre, const float* linear, float* out) {
  HWY_DYNAMIC_DISPATCH(activate)(activation, pre, linear, out);
}

void soft_cap_row(float cap, std::span<float> x) { HWY_DYNAMIC_DISPATCH(soft_cap)(cap, x); }

void add_row(std::span<const float> a, const float* b, float* out) { HWY_DYNAMIC_DISPATCH(add)(a, b, out); }

void rotate_row(RopeKind kind, const RotateRow& row) { HWY_DYNAMIC_DISPATCH(rotate)(kind, row); }

bool store_f16_row(std::span<const float> x, std::uint16_t* out) { return HWY_DYNAMIC_DISPATCH(store_f16)(x, out); }

double log_sum_exp(std::span<const float> x) { return HWY_DYNAMIC_DISPATCH(log_sum)(x); }

}  // namespace vitrine
#endif
