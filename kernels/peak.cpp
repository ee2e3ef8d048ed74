#include "kernels/peak.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
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

/// Four places at once, prefetched: one stream reads a fifth slower (Zen 4, two cores).
unsigned read(std::span<const std::byte> bytes) {
  using Lanes = hn::CappedTag<std::uint32_t, 16>;
  constexpr std::size_t step = hn::MaxLanes(Lanes()), ahead = 1024;  // words
  const auto* words = reinterpret_cast<const std::uint32_t*>(bytes.data());
  const std::size_t quarter = bytes.size() / sizeof(std::uint32_t) / 4 / step * step;
  hn::Vec<Lanes> sums[4];
  VITRINE_UNROLL
  for (std::size_t k = 0; k < 4; ++k) sums[k] = hn::Zero(Lanes());
  for (std::size_t i = 0; i < quarter; i += step) {
    VITRINE_UNROLL
    for (std::size_t k = 0; k < 4; ++k) {
      hwy::Prefetch(words + k * quarter + i + ahead);
      sums[k] = hn::Add(sums[k], hn::LoadU(Lanes(), words + k * quarter + i));
    }
  }
  return hn::GetLane(hn::SumOfLanes(Lanes(), hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
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
