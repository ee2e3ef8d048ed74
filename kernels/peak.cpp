#include "kernels/peak.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"
#include "kernels/simd/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

volatile float float_sink;  // keeps the loops alive

double multiply_adds(std::size_t rounds) {
  constexpr std::size_t chains = 12;  // more than latency times width of any CPU so far
  using Lanes = hn::CappedTag<float, 16>;
  hn::Vec<Lanes> sums[chains];
  VITRINE_UNROLL
  for (std::size_t i = 0; i < chains; ++i) sums[i] = hn::Set(Lanes(), static_cast<float>(i));
  const auto factor = hn::Set(Lanes(), 0.5f), offset = hn::Set(Lanes(), 1.0f);
  for (std::size_t round = 0; round < rounds; ++round) {
    VITRINE_UNROLL
    for (std::size_t i = 0; i < chains; ++i) sums[i] = hn::MulAdd(sums[i], factor, offset);
  }
  auto total = sums[0];
  VITRINE_UNROLL
  for (std::size_t i = 1; i < chains; ++i) total = hn::Add(total, sums[i]);
  float_sink = hn::GetLane(hn::SumOfLanes(Lanes(), total));
  return 2.0 * static_cast<double>(rounds * chains * hn::MaxLanes(Lanes()));
}

unsigned read(std::span<const std::byte> bytes) {
  using Lanes = hn::CappedTag<std::uint32_t, 16>;
  constexpr std::size_t step = hn::MaxLanes(Lanes());
  const auto* words = reinterpret_cast<const std::uint32_t*>(bytes.data());
  const std::size_t count = bytes.size() / sizeof(std::uint32_t);
  auto a = hn::Zero(Lanes()), b = a, c = a, d = a;
  for (std::size_t i = 0; i + 4 * step <= count; i += 4 * step) {
    a = hn::Add(a, hn::LoadU(Lanes(), words + i));
    b = hn::Add(b, hn::LoadU(Lanes(), words + i + step));
    c = hn::Add(c, hn::LoadU(Lanes(), words + i + 2 * step));
    d = hn::Add(d, hn::LoadU(Lanes(), words + i + 3 * step));
  }
  return hn::GetLane(hn::SumOfLanes(Lanes(), hn::Add(hn::Add(a, b), hn::Add(c, d))));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(multiply_adds);
HWY_EXPORT(read);

}  // namespace

double run_multiply_adds(std::size_t rounds) { return HWY_DYNAMIC_DISPATCH(multiply_adds)(rounds); }

unsigned read_all(std::span<const std::byte> bytes) { return HWY_DYNAMIC_DISPATCH(read)(bytes); }

}  // namespace vitrine
#endif
