#include "kernels/ops/kv_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/kv_rows.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

constexpr std::uint16_t half_nan = 0x7e00;

struct BlockRange {
  float low, high;
  bool finite;
};

HWY_INLINE BlockRange range_of(const float* x) {
  const Lanes f;
  Vector low = hn::LoadU(f, x), high = low;
  bool finite = true;
  for (std::size_t i = 0; i < chunk; i += lanes) {
    const Vector numbers = hn::LoadU(f, x + i);
    finite = finite && hn::AllTrue(f, hn::IsFinite(numbers));
    low = hn::Min(low, numbers);
    high = hn::Max(high, numbers);
  }
  return {hn::GetLane(hn::MinOfLanes(f, low)), hn::GetLane(hn::MaxOfLanes(f, high)), finite};
}

HWY_INLINE bool overflows(std::uint16_t half) { return (half & 0x7fffu) >= 0x7c00u; }

/// The nearest codes of (x - minimum) / scale; 0 where the scale is none.
HWY_INLINE hn::Vec<IntLanes> codes_of(const float* x, float scale, float minimum) {
  if (!(scale > 0.0f)) return hn::Zero(IntLanes());
  return hn::NearestInt(hn::Div(hn::Sub(hn::LoadU(Lanes(), x), hn::Set(Lanes(), minimum)), hn::Set(Lanes(), scale)));
}

HWY_INLINE bool store_q8_0(const float* x, std::byte* out) {
  const BlockRange range = range_of(x);
  const std::uint16_t half = range.finite ? f16_from_f32(std::max(-range.low, range.high) / 127.0f) : half_nan;
  std::memcpy(out, &half, sizeof half);
  const bool fits = !range.finite || !overflows(half);
  const float scale = range.finite && fits ? f32_from_f16(half) : 0.0f;
  for (std::size_t i = 0; i < chunk; i += lanes) {
    hn::StoreU(hn::DemoteTo(SignedByteLanes(), codes_of(x + i, scale, 0.0f)), SignedByteLanes(), reinterpret_cast<std::int8_t*>(out + 2 + i));
  }
  return fits;
}

HWY_INLINE bool store_q4_1(const float* x, std::byte* out) {
  const BlockRange range = range_of(x);
  std::uint16_t halves[2] = {half_nan, 0};  // scale, minimum
  bool fits = true;
  if (range.finite) {
    halves[1] = f16_from_f32(range.low);
    halves[0] = f16_from_f32(std::max(0.0f, (range.high - f32_from_f16(halves[1])) / 15.0f));
    fits = !overflows(halves[0]) && !overflows(halves[1]);
  }
  std::memcpy(out, halves, sizeof halves);
  const float scale = range.finite && fits ? f32_from_f16(halves[0]) : 0.0f, minimum = fits ? f32_from_f16(halves[1]) : 0.0f;
  const auto level = [&](const float* numbers) HWY_ATTR {
    return hn::Min(hn::Max(codes_of(numbers, scale, minimum), hn::Zero(IntLanes())), hn::Set(IntLanes(), 15));
  };
  for (std::size_t i = 0; i < chunk / 2; i += lanes) {
    const auto pair = hn::Or(level(x + i), hn::ShiftLeft<4>(level(x + chunk / 2 + i)));
    hn::StoreU(hn::DemoteTo(ByteLanes(), pair), ByteLanes(), reinterpret_cast<std::uint8_t*>(out + 4 + i));
  }
  return fits;
}

bool store_blocks(DType type, std::span<const float> x, std::byte* out) {
  const std::size_t bytes = dtype_info(type).block_bytes;
  bool fits = true;
  for (std::size_t begin = 0; begin < x.size(); begin += chunk, out += bytes) {
    const float* numbers = x.data() + begin;
    float last[chunk];
    if (const std::size_t left = x.size() - begin; left < chunk) {
      std::copy_n(numbers, left, last);
      std::fill(last + left, last + chunk, x.back());
      numbers = last;
    }
    fits &= type == DType::q8_0 ? store_q8_0(numbers, out) : store_q4_1(numbers, out);
  }
  return fits;
}

/// Row and column i, j of the Hadamard matrix of 16 in Sylvester's order: the sign of the parity of i & j.
constexpr std::array<float, 256> signs_of_16() {
  std::array<float, 256> signs{};
  for (unsigned i = 0; i < 256; ++i) signs[i] = std::popcount(i / 16 & i % 16) % 2 == 0 ? 1.0f : -1.0f;
  return signs;
}
alignas(64) constexpr std::array<float, 256> signs = signs_of_16();

/// Sixteen numbers times the matrix of 16: sums in order, whatever the vectors.
HWY_INLINE void turn_16(const float* x, float* out) {
  float numbers[16];
  std::copy_n(x, 16, numbers);
  for (std::size_t v = 0; v < 16; v += lanes) {
    Vector sum = hn::Zero(Lanes());
    VITRINE_UNROLL
    for (std::size_t i = 0; i < 16; ++i) {
      sum = hn::MulAdd(hn::Set(Lanes(), numbers[i]), hn::Load(Lanes(), signs.data() + 16 * i + v), sum);
    }
    hn::StoreU(sum, Lanes(), out + v);
  }
}

/// Sums and differences of halves that lie `distance` apart.
HWY_INLINE void butterfly(float* x, std::size_t distance) {
  for (std::size_t i = 0; i < distance; ++i) {
    const float a = x[i], b = x[i + distance];
    x[i] = a + b;
    x[i + distance] = a - b;
  }
}

HWY_INLINE void wide_butterfly(float* x, std::size_t distance) {
  for (std::size_t i = 0; i < distance; i += lanes) {
    const Vector a = hn::LoadU(Lanes(), x + i), b = hn::LoadU(Lanes(), x + i + distance);
    hn::StoreU(hn::Add(a, b), Lanes(), x + i);
    hn::StoreU(hn::Sub(a, b), Lanes(), x + i + distance);
  }
}

void turn(std::span<const float> x, std::size_t size, float* out) {
  const auto share = static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)));
  if (out != x.data()) std::copy(x.begin(), x.end(), out);
  for (float* block = out; block != out + x.size(); block += size) {
    if (size < 16) {
      for (std::size_t distance = 1; distance < size; distance *= 2) {
        for (std::size_t i = 0; i < size; i += 2 * distance) butterfly(block + i, distance);
      }
    } else {
      for (std::size_t i = 0; i < size; i += 16) turn_16(block + i, block + i);
      for (std::size_t distance = 16; distance < size; distance *= 2) {
        for (std::size_t i = 0; i < size; i += 2 * distance) wide_butterfly(block + i, distance);
      }
    }
  }
  for (std::size_t i = 0; i < x.size(); ++i) out[i] *= share;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(store_blocks);
HWY_EXPORT(turn);

}  // namespace

bool store_block_row(DType type, std::span<const float> x, std::byte* out) {
  VITRINE_CHECK(type == DType::q8_0 || type == DType::q4_1);
  return HWY_DYNAMIC_DISPATCH(store_blocks)(type, x, out);
}

void hadamard_row(std::span<const float> x, std::size_t size, float* out) {
  VITRINE_CHECK(std::has_single_bit(size) && x.size() % size == 0);
  HWY_DYNAMIC_DISPATCH(turn)(x, size, out);
}

}  // namespace vitrine
#endif
