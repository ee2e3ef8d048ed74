// Decoders of weight rows into f32 vectors, one per number type: the arithmetic of core/tensor/blocks_*.cpp, operation
// for operation, so that a vector holds the same bits as the plain expansion. Included once per instruction set.

#if defined(VITRINE_WEIGHT_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_WEIGHT_ROWS_INL_H
#undef VITRINE_WEIGHT_ROWS_INL_H
#else
#define VITRINE_WEIGHT_ROWS_INL_H
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/base/half.h"
#include "core/tensor/blocks.h"
#include "core/tensor/dtype.h"
#include "hwy/highway.h"
#include "kernels/simd/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Numbers that a decoder yields at once: the smallest block of the quantised types.
constexpr std::size_t chunk = 32;
// 512 bits at most: wider vectors would change nothing but the order of sums.
using Lanes = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Lanes>;
constexpr std::size_t lanes = hn::MaxLanes(Lanes());
constexpr std::size_t chunk_vectors = chunk / lanes;

using HalfLanes = hn::Rebind<hwy::float16_t, Lanes>;
using ShortLanes = hn::Rebind<std::uint16_t, Lanes>;
using ByteLanes = hn::Rebind<std::uint8_t, Lanes>;
using SignedByteLanes = hn::Rebind<std::int8_t, Lanes>;
using IntLanes = hn::Rebind<std::int32_t, Lanes>;
using WordLanes = hn::Rebind<std::uint32_t, Lanes>;

/// binary16 as f32, subnormals and infinities included. The emulation on sets without F16C knows no infinity.
HWY_INLINE Vector from_f16(const std::uint16_t* bits) {
#if HWY_TARGET <= HWY_AVX2
  return hn::PromoteTo(Lanes(), hn::LoadU(HalfLanes(), reinterpret_cast<const hwy::float16_t*>(bits)));
#else
  alignas(64) float numbers[lanes];
  for (std::size_t i = 0; i < lanes; ++i) numbers[i] = f32_from_f16(bits[i]);
  return hn::Load(Lanes(), numbers);
#endif
}

struct ScalePair {
  float scale, minimum;
};

/// The two binary16 numbers at the start of a block (the second is meaningless where a block has one). Blocks are not
/// aligned; the eight bytes read lie inside every block.
HWY_INLINE ScalePair scale_pair(const std::byte* block) {
#if HWY_TARGET <= HWY_AVX2
  using Four = hn::FixedTag<float, 4>;
  const auto numbers = hn::PromoteTo(
      Four(), hn::LoadU(hn::Rebind<hwy::float16_t, Four>(), reinterpret_cast<const hwy::float16_t*>(block)));
  return {hn::GetLane(numbers), hn::GetLane(hn::Broadcast<1>(numbers))};
#else
  std::uint16_t bits[2];
  std::memcpy(bits, block, sizeof bits);
  return {f32_from_f16(bits[0]), f32_from_f16(bits[1])};
#endif
}

HWY_INLINE float scale_at(const std::byte* place) {
  std::uint16_t bits;
  std::memcpy(&bits, place, sizeof bits);
  return f32_from_f16(bits);
}

/// Two of them, one behind the other, where they end a block.
HWY_INLINE ScalePair scale_pair_at(const std::byte* place) { return {scale_at(place), scale_at(place + 2)}; }

HWY_INLINE hn::Vec<IntLanes> bytes_at(const std::byte* source) {
  return hn::PromoteTo(IntLanes(), hn::LoadU(ByteLanes(), reinterpret_cast<const std::uint8_t*>(source)));
}

HWY_INLINE Vector to_float(hn::Vec<IntLanes> numbers) { return hn::ConvertTo(Lanes(), numbers); }

/// scale * level + offset for the 16 levels of a nibble, in the order of Q4_0 and Q4_1: low nibbles, then high ones.
/// With 16 lanes the levels are made once a block and looked up.
template <class Level>
HWY_INLINE void nibble_block(const std::byte* nibbles, const Level& level, Vector* out) {
  if constexpr (lanes == 16) {
    const Vector table = level(hn::Iota(Lanes(), 0.0f));
    const auto bytes = bytes_at(nibbles);
    out[0] = hn::TableLookupLanes(table, hn::IndicesFromVec(Lanes(), hn::And(bytes, hn::Set(IntLanes(), 15))));
    out[1] = hn::TableLookupLanes(table, hn::IndicesFromVec(Lanes(), hn::ShiftRight<4>(bytes)));
  } else {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < 16 / lanes; ++v) {
      const auto bytes = bytes_at(nibbles + v * lanes);
      out[v] = level(to_float(hn::And(bytes, hn::Set(IntLanes(), 15))));
      out[v + 16 / lanes] = level(to_float(hn::ShiftRight<4>(bytes)));
    }
  }
}

struct F32Rows {
  static constexpr DType type = DType::f32;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const auto* numbers = reinterpret_cast<const float*>(row) + index * chunk;
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) out[v] = hn::LoadU(Lanes(), numbers + v * lanes);
  }
};

struct F16Rows {
  static constexpr DType type = DType::f16;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const auto* numbers = reinterpret_cast<const std::uint16_t*>(row) + index * chunk;
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) out[v] = from_f16(numbers + v * lanes);
  }
};

struct BF16Rows {
  static constexpr DType type = DType::bf16;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const auto* numbers = reinterpret_cast<const std::uint16_t*>(row) + index * chunk;
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const auto bits = hn::PromoteTo(WordLanes(), hn::LoadU(ShortLanes(), numbers + v * lanes));
      out[v] = hn::BitCast(Lanes(), hn::ShiftLeft<16>(bits));
    }
  }
};

struct Q8_0Rows {
  static constexpr DType type = DType::q8_0;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index * 34;
    const Vector scale = hn::Set(Lanes(), scale_pair(block).scale);
    const auto* numbers = reinterpret_cast<const std::int8_t*>(block + 2);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const auto wide = hn::PromoteTo(IntLanes(), hn::LoadU(SignedByteLanes(), numbers + v * lanes));
      out[v] = hn::Mul(scale, to_float(wide));
    }
  }
};

struct Q4_0Rows {
  static constexpr DType type = DType::q4_0;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index * 18;
    const Vector scale = hn::Set(Lanes(), scale_pair(block).scale), eight = hn::Set(Lanes(), 8.0f);
    nibble_block(
        block + 2, [&](Vector level) HWY_ATTR { return hn::Mul(scale, hn::Sub(level, eight)); }, out);
  }
};

struct Q4_1Rows {
  static constexpr DType type = DType::q4_1;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index * 20;
    const ScalePair pair = scale_pair(block);
    const Vector scale = hn::Set(Lanes(), pair.scale), minimum = hn::Set(Lanes(), pair.minimum);
    nibble_block(
        block + 4, [&](Vector level) HWY_ATTR { return hn::Add(hn::Mul(scale, level), minimum); }, out);
  }
};

/// scale * level + offset for the 32 levels of a Q5_0 or Q5_1 block: 32 fifth bits, then nibbles, low ones first.
template <class Level>
HWY_INLINE void five_bit_block(const std::byte* fifths, const Level& level, Vector* out) {
  std::uint32_t bits;
  std::memcpy(&bits, fifths, sizeof bits);
  const std::uint32_t halves[] = {bits << 4, bits >> 12};  // the bits of 16 numbers from bit 4 on
  const auto fifth = [&](std::size_t half, std::size_t first) HWY_ATTR {
    const auto shifts = hn::Iota(WordLanes(), static_cast<std::uint32_t>(first));
    return hn::BitCast(IntLanes(), hn::And(hn::Shr(hn::Set(WordLanes(), halves[half]), shifts), hn::Set(WordLanes(), 16)));
  };
  VITRINE_UNROLL
  for (std::size_t v = 0; v < 16 / lanes; ++v) {
    const auto bytes = bytes_at(fifths + 4 + v * lanes);
    out[v] = level(to_float(hn::Or(hn::And(bytes, hn::Set(IntLanes(), 15)), fifth(0, v * lanes))));
    out[v + 16 / lanes] = level(to_float(hn::Or(hn::ShiftRight<4>(bytes), fifth(1, v * lanes))));
  }
}

struct Q5_0Rows {
  static constexpr DType type = DType::q5_0;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index * 22;
    const Vector scale = hn::Set(Lanes(), scale_pair(block).scale), sixteen = hn::Set(Lanes(), 16.0f);
    five_bit_block(
        block + 2, [&](Vector level) HWY_ATTR { return hn::Mul(scale, hn::Sub(level, sixteen)); }, out);
  }
};

struct Q5_1Rows {
  static constexpr DType type = DType::q5_1;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index * 24;
    const ScalePair pair = scale_pair(block);
    const Vector scale = hn::Set(Lanes(), pair.scale), minimum = hn::Set(Lanes(), pair.minimum);
    five_bit_block(
        block + 4, [&](Vector level) HWY_ATTR { return hn::Add(hn::Mul(scale, level), minimum); }, out);
  }
};

struct SubScale {
  float scale, minimum;
};

/// Factors of sub-block j of a Q4_K or Q5_K block: eight pairs of six bits in twelve bytes.
HWY_INLINE SubScale sub_scale_of(const std::byte* block, std::size_t j) {
  const auto packed = [block](std::size_t i) { return std::to_integer<unsigned>(block[4 + i]); };
  const unsigned scale = j < 4 ? packed(j) & 63u : (packed(j + 4) & 15u) | (packed(j - 4) >> 6 << 4);
  const unsigned minimum = j < 4 ? packed(j + 4) & 63u : (packed(j + 4) >> 4) | (packed(j) >> 6 << 4);
  return {static_cast<float>(scale), static_cast<float>(minimum)};
}

struct Q4_KRows {
  static constexpr DType type = DType::q4_k;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index / 8 * 144;
    const std::size_t j = index % 8;
    const ScalePair pair = scale_pair(block);
    const SubScale sub = sub_scale_of(block, j);
    const Vector scale = hn::Set(Lanes(), pair.scale * sub.scale),
                 minimum = hn::Set(Lanes(), pair.minimum * sub.minimum);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const auto bytes = bytes_at(block + 16 + j / 2 * chunk + v * lanes);
      const auto level = j % 2 == 0 ? hn::And(bytes, hn::Set(IntLanes(), 15)) : hn::ShiftRight<4>(bytes);
      out[v] = hn::Sub(hn::Mul(scale, to_float(level)), minimum);
    }
  }
};

struct Q5_KRows {
  static constexpr DType type = DType::q5_k;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index / 8 * 176;
    const std::size_t j = index % 8;
    const ScalePair pair = scale_pair(block);
    const SubScale sub = sub_scale_of(block, j);
    const Vector scale = hn::Set(Lanes(), pair.scale * sub.scale),
                 minimum = hn::Set(Lanes(), pair.minimum * sub.minimum);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const auto bytes = bytes_at(block + 48 + j / 2 * chunk + v * lanes);
      const auto low = j % 2 == 0 ? hn::And(bytes, hn::Set(IntLanes(), 15)) : hn::ShiftRight<4>(bytes);
      const auto shifted = hn::ShiftRightSame(bytes_at(block + 16 + v * lanes), static_cast<int>(j));
      const auto fifth = hn::ShiftLeft<4>(hn::And(shifted, hn::Set(IntLanes(), 1)));
      out[v] = hn::Sub(hn::Mul(scale, to_float(hn::Or(low, fifth))), minimum);
    }
  }
};

struct Q6_KRows {
  static constexpr DType type = DType::q6_k;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index / 8 * 210;
    const std::size_t half = index % 8 / 4, run = index % 4;
    const float scale = scale_at(block + 208);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const std::size_t lane = v * lanes;
      const auto low_bytes = bytes_at(block + half * 64 + run % 2 * 32 + lane);
      const auto low = run < 2 ? hn::And(low_bytes, hn::Set(IntLanes(), 15)) : hn::ShiftRight<4>(low_bytes);
      const auto high_bytes = bytes_at(block + 128 + half * 32 + lane);
      const auto high = hn::And(hn::ShiftRightSame(high_bytes, static_cast<int>(2 * run)), hn::Set(IntLanes(), 3));
      const auto level = hn::Sub(hn::Or(low, hn::ShiftLeft<4>(high)), hn::Set(IntLanes(), 32));
      const auto sub_scale = static_cast<float>(static_cast<std::int8_t>(block[192 + half * 8 + run * 2 + lane / 16]));
      out[v] = hn::Mul(hn::Set(Lanes(), scale * sub_scale), to_float(level));
    }
  }
};

struct Q2_KRows {
  static constexpr DType type = DType::q2_k;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index / 8 * 84;
    const std::size_t half = index % 8 / 4, run = index % 4;
    const ScalePair pair = scale_pair_at(block + 80);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const std::size_t lane = v * lanes;
      const unsigned factors = std::to_integer<unsigned>(block[half * 8 + run * 2 + lane / 16]);
      const auto bytes = bytes_at(block + 16 + half * chunk + lane);
      const auto level = hn::And(hn::ShiftRightSame(bytes, static_cast<int>(2 * run)), hn::Set(IntLanes(), 3));
      const Vector scale = hn::Set(Lanes(), pair.scale * static_cast<float>(factors & 15u)),
                   minimum = hn::Set(Lanes(), pair.minimum * static_cast<float>(factors >> 4));
      out[v] = hn::Sub(hn::Mul(scale, to_float(level)), minimum);
    }
  }
};

/// Sub-scale j of a Q3_K block: sixteen of six bits in twelve bytes, less 32.
HWY_INLINE int q3_sub_scale(const std::byte* block, std::size_t j) {
  const auto packed = [block](std::size_t i) { return std::to_integer<unsigned>(block[96 + i]); };
  return static_cast<int>((packed(j % 8) >> (j / 8 * 4) & 15u) | (packed(8 + j % 4) >> (j / 4 * 2) & 3u) << 4) - 32;
}

struct Q3_KRows {
  static constexpr DType type = DType::q3_k;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index / 8 * 110;
    const std::size_t half = index % 8 / 4, run = index % 4;
    const float scale = scale_at(block + 108);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const std::size_t lane = v * lanes;
      const auto low = hn::And(hn::ShiftRightSame(bytes_at(block + 32 + half * chunk + lane), static_cast<int>(2 * run)), hn::Set(IntLanes(), 3));
      const auto high = hn::And(hn::ShiftRightSame(bytes_at(block + lane), static_cast<int>(half * 4 + run)), hn::Set(IntLanes(), 1));
      const auto level = hn::Sub(hn::Or(low, hn::ShiftLeft<2>(high)), hn::Set(IntLanes(), 4));
      const auto sub_scale = static_cast<float>(q3_sub_scale(block, half * 8 + run * 2 + lane / 16));
      out[v] = hn::Mul(hn::Set(Lanes(), scale * sub_scale), to_float(level));
    }
  }
};

/// Levels of the 32 nibbles of an IQ4 block, low ones first, looked up as bytes.
HWY_INLINE void iq4_levels_of(const std::byte* nibbles, std::int8_t* levels) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < chunk; ++i) levels[i] = blocks::iq4_levels[std::to_integer<unsigned>(nibbles[i % 16]) >> (i / 16 * 4) & 15u];
#else
  const hn::FixedTag<std::uint8_t, 16> bytes;
  const hn::FixedTag<std::uint16_t, 8> pairs;
  const auto table = hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(blocks::iq4_levels));
  const auto both = hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(nibbles));
  const auto low = hn::And(both, hn::Set(bytes, 15));
  const auto high = hn::And(hn::BitCast(bytes, hn::ShiftRight<4>(hn::BitCast(pairs, both))), hn::Set(bytes, 15));
  hn::StoreU(hn::TableLookupBytes(table, low), bytes, reinterpret_cast<std::uint8_t*>(levels));
  hn::StoreU(hn::TableLookupBytes(table, high), bytes, reinterpret_cast<std::uint8_t*>(levels + 16));
#endif
}

HWY_INLINE void iq4_block(const std::byte* nibbles, float scale, Vector* out) {
  alignas(16) std::int8_t levels[chunk];
  iq4_levels_of(nibbles, levels);
  VITRINE_UNROLL
  for (std::size_t v = 0; v < chunk_vectors; ++v) {
    const auto wide = hn::PromoteTo(IntLanes(), hn::LoadU(SignedByteLanes(), levels + v * lanes));
    out[v] = hn::Mul(hn::Set(Lanes(), scale), to_float(wide));
  }
}

struct IQ4_NLRows {
  static constexpr DType type = DType::iq4_nl;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index * 18;
    iq4_block(block + 2, scale_pair(block).scale, out);
  }
};

/// Sub-scale j of an IQ4_XS block: eight of six bits, four in nibbles behind two of all of them, less 32.
HWY_INLINE int iq4_sub_scale(const std::byte* block, std::size_t j) {
  std::uint16_t high;
  std::memcpy(&high, block + 2, sizeof high);
  const unsigned low = std::to_integer<unsigned>(block[4 + j / 2]) >> (j % 2 * 4) & 15u;
  return static_cast<int>(low | (static_cast<unsigned>(high) >> (2 * j) & 3u) << 4) - 32;
}

struct IQ4_XSRows {
  static constexpr DType type = DType::iq4_xs;
  static HWY_INLINE void load(const std::byte* row, std::size_t index, Vector* out) {
    const std::byte* block = row + index / 8 * 136;
    const std::size_t j = index % 8;
    iq4_block(block + 8 + j * 16, scale_pair(block).scale * static_cast<float>(iq4_sub_scale(block, j)), out);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
