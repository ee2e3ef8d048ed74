#include "kernels/ops/int16.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/int16.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/simd/unroll.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET > HWY_AVX2  // without its conversions the f32 products are faster

void round_chunks(const float*, std::size_t, std::int16_t*, float*, float*) {}
void multiply(const Int16Rows&, const WeightPanel&, const float*, const DenseRows<float>&) {}
bool known(DType) { return false; }

#else

// 256 bits: a chunk of nibbles is two vectors of 16-bit numbers.
using Words = hn::CappedTag<std::int16_t, 16>;
using WordVector = hn::Vec<Words>;
using Sums = hn::Repartition<std::int32_t, Words>;
using Floats = hn::RebindToFloat<Sums>;
using FloatVector = hn::Vec<Floats>;
using Four = hn::FixedTag<float, 4>;
constexpr std::size_t words = hn::MaxLanes(Words());
constexpr std::size_t word_vectors = chunk / words;

HWY_INLINE WordVector unsigned_words(const std::byte* source) {
  return hn::PromoteTo(Words(),
                       hn::LoadU(hn::Rebind<std::uint8_t, Words>(), reinterpret_cast<const std::uint8_t*>(source)));
}

/// Levels of the nibbles of a Q4_0 or Q4_1 block, low ones first.
HWY_INLINE void nibbles(const std::byte* source, WordVector* out) {
  VITRINE_UNROLL
  for (std::size_t v = 0; v < word_vectors / 2; ++v) {
    const WordVector bytes = unsigned_words(source + v * words);
    out[v] = hn::And(bytes, hn::Set(Words(), 15));
    out[v + word_vectors / 2] = hn::ShiftRight<4>(bytes);
  }
}

// Levels of K-quants are put together as bytes, a chunk in one vector, before they become words: Q6_K 1.13 times as fast
// as word by word. For Q5_0 and Q5_1 that, and adding under a mask, were no faster than an `or` of what the mask leaves.
using Bytes = hn::Repartition<std::uint8_t, Words>;
using ByteVector = hn::Vec<Bytes>;
static_assert(hn::MaxLanes(Bytes()) == chunk);

HWY_INLINE ByteVector load_chunk(const std::byte* source) {
  return hn::LoadU(Bytes(), reinterpret_cast<const std::uint8_t*>(source));
}

/// Shifts pairs of bytes: what comes from the neighbour has to be masked.
template <int count>
HWY_INLINE ByteVector shift_left(ByteVector bytes) {
  return hn::BitCast(Bytes(), hn::ShiftLeft<count>(hn::BitCast(hn::Repartition<std::uint16_t, Words>(), bytes)));
}
template <int count>
HWY_INLINE ByteVector shift_right(ByteVector bytes) {
  return hn::BitCast(Bytes(), hn::ShiftRight<count>(hn::BitCast(hn::Repartition<std::uint16_t, Words>(), bytes)));
}

/// @tparam Byte  std::uint8_t or std::int8_t: what the bytes are
template <typename Byte>
HWY_INLINE void widen(ByteVector bytes, WordVector* out) {
  const hn::Repartition<Byte, Words> all;
  const hn::Half<decltype(all)> half;
  const auto numbers = hn::BitCast(all, bytes);
  out[0] = hn::PromoteTo(Words(), hn::LowerHalf(half, numbers));
  out[1] = hn::PromoteTo(Words(), hn::UpperHalf(half, numbers));
}

/// One bit a word, from 16 bits.
HWY_INLINE hn::Mask<Words> bits_at(const std::byte* bits) {
  return hn::LoadMaskBits(Words(), reinterpret_cast<const std::uint8_t*>(bits));
}

/// {scale, minimum} in the lower lanes; the others hold anything.
HWY_INLINE hn::Vec<Four> pair_at(const std::byte* block) {
  return hn::PromoteTo(Four(),
                       hn::LoadU(hn::Rebind<hwy::float16_t, Four>(), reinterpret_cast<const hwy::float16_t*>(block)));
}

// Types whose block is one chunk: its levels; the block begins with {scale, minimum}.

struct Q8_0Words {
  static constexpr std::size_t bytes = 34;
  static constexpr bool has_minimum = false;
  static HWY_INLINE void words_of(const std::byte* block, WordVector* out) {
    const auto* numbers = reinterpret_cast<const std::int8_t*>(block + 2);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      out[v] = hn::PromoteTo(Words(), hn::LoadU(hn::Rebind<std::int8_t, Words>(), numbers + v * words));
    }
  }
};

struct Q4_0Words {
  static constexpr std::size_t bytes = 18;
  static constexpr bool has_minimum = false;
  static HWY_INLINE void words_of(const std::byte* block, WordVector* out) {
    nibbles(block + 2, out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) out[v] = hn::Sub(out[v], hn::Set(Words(), 8));
  }
};

struct Q4_1Words {
  static constexpr std::size_t bytes = 20;
  static constexpr bool has_minimum = true;
  static HWY_INLINE void words_of(const std::byte* block, WordVector* out) { nibbles(block + 4, out); }
};

struct Q5_0Words {
  static constexpr std::size_t bytes = 22;
  static constexpr bool has_minimum = false;
  static HWY_INLINE void words_of(const std::byte* block, WordVector* out) {
    nibbles(block + 6, out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      out[v] = hn::Or(out[v], hn::IfThenZeroElse(bits_at(block + 2 + v * words / 8), hn::Set(Words(), -16)));
    }
  }
};

struct Q5_1Words {
  static constexpr std::size_t bytes = 24;
  static constexpr bool has_minimum = true;
  static HWY_INLINE void words_of(const std::byte* block, WordVector* out) {
    nibbles(block + 8, out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      out[v] = hn::Or(out[v], hn::IfThenElseZero(bits_at(block + 4 + v * words / 8), hn::Set(Words(), 16)));
    }
  }
};

// Types whose block is eight chunks: factors of the chunks (or of their halves), and the levels of chunk j.

struct Factors {
  float scales[8], minima[16];
  std::int8_t halves[16];  // whole numbers that are folded into the levels
};

struct Q4_KWords {
  static constexpr std::size_t bytes = 144;
  static constexpr std::size_t minima = 8;
  /// The eight pairs of six bits in twelve bytes, four of a kind at once.
  static HWY_INLINE void read(const std::byte* block, Factors& factors) {
    const ScalePair pair = scale_pair(block);
    std::uint32_t packed[3];
    std::memcpy(packed, block + 4, sizeof packed);
    constexpr std::uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x03030303;
    const auto spread = [](std::uint32_t bytes, float factor, float* out) HWY_ATTR {
      const auto numbers =
          hn::BitCast(hn::FixedTag<std::uint8_t, 16>(), hn::Set(hn::FixedTag<std::uint32_t, 4>(), bytes));
      const auto wide = hn::PromoteTo(hn::FixedTag<std::int32_t, 4>(), hn::LowerHalf(hn::LowerHalf(numbers)));
      hn::StoreU(hn::Mul(hn::ConvertTo(Four(), wide), hn::Set(Four(), factor)), Four(), out);
    };
    spread(packed[0] & six, pair.scale, factors.scales);
    spread((packed[2] & four) | (packed[0] >> 6 & two) << 4, pair.scale, factors.scales + 4);
    spread(packed[1] & six, -pair.minimum, factors.minima);
    spread((packed[2] >> 4 & four) | (packed[1] >> 6 & two) << 4, -pair.minimum, factors.minima + 4);
  }
  static HWY_INLINE void words_of(const std::byte* block, const Factors&, std::size_t j, WordVector* out) {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      const WordVector bytes = unsigned_words(block + 16 + j / 2 * chunk + v * words);
      out[v] = j % 2 == 0 ? hn::And(bytes, hn::Set(Words(), 15)) : hn::ShiftRight<4>(bytes);
    }
  }
};

struct Q5_KWords {
  static constexpr std::size_t bytes = 176;
  static constexpr std::size_t minima = 8;
  static HWY_INLINE void read(const std::byte* block, Factors& factors) { Q4_KWords::read(block, factors); }
  static HWY_INLINE void words_of(const std::byte* block, const Factors&, std::size_t j, WordVector* out) {
    const ByteVector bytes = load_chunk(block + 48 + j / 2 * chunk);
    const ByteVector low = j % 2 == 0 ? bytes : shift_right<4>(bytes);
    const auto set = hn::TestBit(load_chunk(block + 16), hn::Set(Bytes(), static_cast<std::uint8_t>(1u << j)));
    widen<std::uint8_t>(hn::OrAnd(hn::IfThenElseZero(set, hn::Set(Bytes(), 16)), low, hn::Set(Bytes(), 15)), out);
  }
};

/// The scales of 16 numbers are folded into the levels: |32 * 128| * 32767 * 8 products of a lane stay below 2^31.
struct Q6_KWords {
  static constexpr std::size_t bytes = 210;
  static constexpr std::size_t minima = 0;
  static HWY_INLINE void read(const std::byte* block, Factors& factors) {
    const float scale = scale_at(block + 208);
    for (float& factor : factors.scales) factor = scale;
  }
  static HWY_INLINE void words_of(const std::byte* block, const Factors&, std::size_t j, WordVector* out) {
    const std::size_t half = j / 4, run = j % 4;
    const ByteVector bytes = load_chunk(block + half * 64 + run % 2 * chunk), pairs = load_chunk(block + 128 + half * chunk);
    const ByteVector low = run < 2 ? bytes : shift_right<4>(bytes);
    const ByteVector high = run == 0 ? shift_left<4>(pairs) : run == 1 ? shift_left<2>(pairs) : run == 2 ? pairs : shift_right<2>(pairs);
    const ByteVector level = hn::OrAnd(hn::And(high, hn::Set(Bytes(), 0x30)), low, hn::Set(Bytes(), 15));
    widen<std::int8_t>(hn::Sub(level, hn::Set(Bytes(), 32)), out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      const auto sub_scale = static_cast<std::int8_t>(block[192 + half * 8 + run * 2 + v]);
      out[v] = hn::Mul(out[v], hn::Set(Words(), sub_scale));
    }
  }
};

/// Levels below 4 times scales below 16; the minima are of 16 numbers each.
struct Q2_KWords {
  static constexpr std::size_t bytes = 84;
  static constexpr std::size_t minima = 16;
  static HWY_INLINE void read(const std::byte* block, Factors& factors) {
    const ScalePair pair = scale_pair_at(block + 80);
    for (float& factor : factors.scales) factor = pair.scale;
    VITRINE_UNROLL
    for (std::size_t i = 0; i < 16; i += 4) {
      const auto packed = hn::LoadU(hn::FixedTag<std::uint8_t, 4>(), reinterpret_cast<const std::uint8_t*>(block + i));
      const auto high = hn::ShiftRight<4>(hn::PromoteTo(hn::FixedTag<std::int32_t, 4>(), packed));
      hn::StoreU(hn::Mul(hn::ConvertTo(Four(), high), hn::Set(Four(), -pair.minimum)), Four(), factors.minima + i);
    }
  }
  static HWY_INLINE void words_of(const std::byte* block, const Factors&, std::size_t j, WordVector* out) {
    const std::size_t half = j / 4, run = j % 4;
    const ByteVector pairs = load_chunk(block + 16 + half * chunk);
    const ByteVector level = run == 0 ? pairs : run == 1 ? shift_right<2>(pairs) : run == 2 ? shift_right<4>(pairs) : shift_right<6>(pairs);
    widen<std::uint8_t>(hn::And(level, hn::Set(Bytes(), 3)), out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      const auto sub_scale = static_cast<std::int16_t>(std::to_integer<int>(block[half * 8 + run * 2 + v]) & 15);
      out[v] = hn::Mul(out[v], hn::Set(Words(), sub_scale));
    }
  }
};

/// Levels from -4 to 3 times scales from -32 to 31.
struct Q3_KWords {
  static constexpr std::size_t bytes = 110;
  static constexpr std::size_t minima = 0;
  /// Sixteen scales of six bits, four of a kind at once: nibbles of eight bytes, above them pairs of bits of four bytes.
  static HWY_INLINE void read(const std::byte* block, Factors& factors) {
    const float scale = scale_at(block + 108);
    for (float& factor : factors.scales) factor = scale;
    std::uint32_t packed[3];
    std::memcpy(packed, block + 96, sizeof packed);
    constexpr std::uint32_t four = 0x0f0f0f0f, two = 0x03030303;
    const std::uint32_t scales[4] = {(packed[0] & four) | (packed[2] & two) << 4, (packed[1] & four) | (packed[2] >> 2 & two) << 4,
                                     (packed[0] >> 4 & four) | (packed[2] >> 4 & two) << 4, (packed[1] >> 4 & four) | (packed[2] >> 6 & two) << 4};
    using Sixteen = hn::FixedTag<std::int8_t, 16>;
    const auto numbers = hn::BitCast(Sixteen(), hn::LoadU(hn::FixedTag<std::uint32_t, 4>(), scales));
    hn::StoreU(hn::Sub(numbers, hn::Set(Sixteen(), 32)), Sixteen(), factors.halves);
  }
  static HWY_INLINE void words_of(const std::byte* block, const Factors& factors, std::size_t j, WordVector* out) {
    const std::size_t half = j / 4, run = j % 4;
    const ByteVector pairs = load_chunk(block + 32 + half * chunk);
    const ByteVector low = run == 0 ? pairs : run == 1 ? shift_right<2>(pairs) : run == 2 ? shift_right<4>(pairs) : shift_right<6>(pairs);
    const auto set = hn::TestBit(load_chunk(block), hn::Set(Bytes(), static_cast<std::uint8_t>(1u << j)));
    // A missing third bit is -4: all bits above the two.
    const ByteVector high = hn::IfThenZeroElse(set, hn::Set(Bytes(), 0xfc));
    widen<std::int8_t>(hn::OrAnd(high, low, hn::Set(Bytes(), 3)), out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) out[v] = hn::Mul(out[v], hn::Set(Words(), factors.halves[half * 8 + run * 2 + v]));
  }
};

/// Levels of the 32 nibbles of an IQ4 block, low ones first, looked up as bytes.
HWY_INLINE void iq4_words(const std::byte* nibbles, WordVector* out) {
  using Quads = hn::Repartition<std::uint32_t, Words>;
  const auto both = hn::BitCast(Quads(), hn::LoadDup128(Bytes(), reinterpret_cast<const std::uint8_t*>(nibbles)));
  constexpr std::uint32_t of_halves[8] = {0, 0, 0, 0, 4, 4, 4, 4};
  const auto shifts = hn::LoadU(Quads(), of_halves);
  const ByteVector levels = hn::And(hn::BitCast(Bytes(), hn::Shr(both, shifts)), hn::Set(Bytes(), 15));
  const auto table = hn::LoadDup128(Bytes(), reinterpret_cast<const std::uint8_t*>(blocks::iq4_levels));
  widen<std::int8_t>(hn::TableLookupBytes(table, levels), out);
}

struct IQ4_NLWords {
  static constexpr std::size_t bytes = 18;
  static constexpr bool has_minimum = false;
  static HWY_INLINE void words_of(const std::byte* block, WordVector* out) { iq4_words(block + 2, out); }
};

struct IQ4_XSWords {
  static constexpr std::size_t bytes = 136;
  static constexpr std::size_t minima = 0;
  /// Eight scales of six bits: nibbles and pairs of bits are spread to bytes.
  static HWY_INLINE void read(const std::byte* block, Factors& factors) {
    std::uint16_t pairs;
    std::uint32_t nibbles;
    std::memcpy(&pairs, block + 2, sizeof pairs);
    std::memcpy(&nibbles, block + 4, sizeof nibbles);
    const auto spread = [](std::uint64_t bits, int step, std::uint64_t mask) { return (bits | bits << step) & mask; };
    const std::uint64_t low = spread(spread(spread(nibbles, 16, 0x0000ffff0000ffff), 8, 0x00ff00ff00ff00ff), 4, 0x0f0f0f0f0f0f0f0f);
    const std::uint64_t high = spread(spread(spread(pairs, 24, 0x000000ff000000ff), 12, 0x000f000f000f000f), 6, 0x0303030303030303);
    const std::uint64_t both = low | high << 4;
    const auto numbers = hn::PromoteTo(Sums(), hn::LoadU(hn::FixedTag<std::uint8_t, 8>(), reinterpret_cast<const std::uint8_t*>(&both)));
    const auto scales = hn::ConvertTo(Floats(), hn::Sub(numbers, hn::Set(Sums(), 32)));
    hn::StoreU(hn::Mul(scales, hn::Set(Floats(), scale_pair(block).scale)), Floats(), factors.scales);
  }
  static HWY_INLINE void words_of(const std::byte* block, const Factors&, std::size_t j, WordVector* out) { iq4_words(block + 8 + j * 16, out); }
};

constexpr std::size_t tile_columns = 4;
constexpr std::size_t tile_rows = 2;

/// One chunk of one row of x: the sum of its products with the weights, as floats.
HWY_INLINE FloatVector chunk_sum(const std::int16_t* x, const WordVector* weights) {
  const Sums i;
  auto even = hn::Zero(i), odd = hn::Zero(i);
  VITRINE_UNROLL
  for (std::size_t v = 0; v < word_vectors; ++v) {
    even = hn::ReorderWidenMulAccumulate(i, hn::LoadU(Words(), x + v * words), weights[v], even, odd);
  }
  return hn::ConvertTo(Floats(), hn::Add(even, odd));
}

struct Place {
  const Int16Rows* x;
  std::size_t row, blocks;
  const std::byte* weights[tile_columns];
  const std::byte* ahead;  // what is prefetched meanwhile, as one run: the tile after the next
  float* sums;             // [rows, tile_columns]
};

template <class Type>
HWY_INLINE void prefetch(const std::byte* run) {
  VITRINE_UNROLL
  for (std::size_t line = 0; line < Type::bytes; line += 64) hwy::Prefetch(run + line);
}

/// What is read of a row of x. Taken once: a loop that prefetches would work out the addresses again for every block.
struct RowOfX {
  const std::int16_t* numbers;
  const float *pairs, *scales, *sums, *half_sums;
};

template <std::size_t rows>
HWY_INLINE void find_rows(const Place& place, RowOfX (&found)[rows]) {
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t row = place.row + r;
    found[r] = {place.x->numbers(row), place.x->pairs(row), place.x->scales(row), place.x->sums(row), place.x->half_sums(row)};
  }
}

/// Sums of a tile: products per lane, and the minima's part. For blocks of one chunk lane 1 of `minima` counts.
template <std::size_t rows>
struct TileSums {
  FloatVector products[rows][tile_columns];
  hn::Vec<Four> minima[rows][tile_columns];
};

template <std::size_t rows>
HWY_INLINE void clear(TileSums<rows>& sums) {
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      sums.products[r][c] = hn::Zero(Floats());
      sums.minima[r][c] = hn::Zero(Four());
    }
  }
}

template <class Type, std::size_t rows>
HWY_INLINE void small_blocks(const Place& place, TileSums<rows>& sums) {
  RowOfX x[rows];
  find_rows(place, x);
  for (std::size_t b = 0; b < place.blocks; ++b) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      const std::byte* block = place.weights[c] + b * Type::bytes;
      prefetch<Type>(place.ahead + (b * tile_columns + c) * Type::bytes);
      WordVector weights[word_vectors];
      Type::words_of(block, weights);
      const hn::Vec<Four> pair = pair_at(block);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        const auto both = hn::Mul(pair, hn::LoadU(Four(), x[r].pairs + 2 * b));  // lane 1: minimum * sum
        const FloatVector factor = hn::Set(Floats(), hn::GetLane(both));
        sums.products[r][c] =
            hn::MulAdd(factor, chunk_sum(x[r].numbers + b * chunk, weights), sums.products[r][c]);
        if constexpr (Type::has_minimum) sums.minima[r][c] = hn::Add(sums.minima[r][c], both);
      }
    }
  }
}

template <class Type, std::size_t rows>
HWY_INLINE void super_blocks(const Place& place, TileSums<rows>& sums) {
  RowOfX x[rows];
  find_rows(place, x);
  for (std::size_t b = 0; b < place.blocks; ++b) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      const std::byte* block = place.weights[c] + b * Type::bytes;
      prefetch<Type>(place.ahead + (b * tile_columns + c) * Type::bytes);
      Factors factors;
      Type::read(block, factors);
      float scales[rows][8];
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        VITRINE_UNROLL
        for (std::size_t j = 0; j < 8; j += 4) {
          const auto of_x = hn::LoadU(Four(), x[r].scales + 8 * b + j);
          hn::StoreU(hn::Mul(hn::LoadU(Four(), factors.scales + j), of_x), Four(), scales[r] + j);
        }
        const float* x_sums = Type::minima == 16 ? x[r].half_sums : x[r].sums;
        VITRINE_UNROLL
        for (std::size_t i = 0; i < Type::minima; i += 4) {
          const auto of_x = hn::LoadU(Four(), x_sums + Type::minima * b + i);
          sums.minima[r][c] = hn::MulAdd(hn::LoadU(Four(), factors.minima + i), of_x, sums.minima[r][c]);
        }
      }
      VITRINE_UNROLL
      for (std::size_t j = 0; j < 8; ++j) {
        WordVector weights[word_vectors];
        Type::words_of(block, factors, j, weights);
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          const FloatVector products = chunk_sum(x[r].numbers + (8 * b + j) * chunk, weights);
          sums.products[r][c] = hn::MulAdd(hn::Set(Floats(), scales[r][j]), products, sums.products[r][c]);
        }
      }
    }
  }
}

template <class Type>
constexpr bool is_super = Type::bytes > 34;

template <class Type, std::size_t rows>
HWY_INLINE void tile(const Place& place) {
  TileSums<rows> sums;
  clear(sums);
  if constexpr (is_super<Type>) {
    super_blocks<Type>(place, sums);
  } else {
    small_blocks<Type>(place, sums);
  }
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      float sum = hn::GetLane(hn::SumOfLanes(Floats(), sums.products[r][c]));
      if constexpr (is_super<Type>) {
        sum += hn::GetLane(hn::SumOfLanes(Four(), sums.minima[r][c]));
      } else if constexpr (Type::has_minimum) {
        sum += hn::GetLane(hn::Broadcast<1>(sums.minima[r][c]));
      }
      place.sums[r * tile_columns + c] = sum;
    }
  }
}

template <class Type, std::size_t rows>
HWY_NOINLINE void row_strip(const Int16Rows& x, std::size_t row, const WeightPanel& panel, const float* bias,
                            const DenseRows<float>& out) {
  const std::size_t blocks = panel.inner / chunk / (is_super<Type> ? 8 : 1);
  float sums[rows * tile_columns];
  for (std::size_t column = 0; column < panel.count; column += tile_columns) {
    const std::size_t columns = std::min(tile_columns, panel.count - column);
    Place place{&x, row, blocks, {}, panel.rows + column * panel.row_bytes + prefetch_distance(panel), sums};
    for (std::size_t c = 0; c < tile_columns; ++c) {
      place.weights[c] = panel.rows + (column + std::min(c, columns - 1)) * panel.row_bytes;
    }
    tile<Type, rows>(place);
    for (std::size_t r = 0; r < rows; ++r) {
      float* to = out.data + (row + r) * out.stride + column;
      for (std::size_t c = 0; c < columns; ++c) to[c] = sums[r * tile_columns + c] + (bias ? bias[column + c] : 0.0f);
    }
  }
}

template <class Type>
void all_rows(const Int16Rows& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  std::size_t row = 0;
  for (; row + tile_rows <= x.count(); row += tile_rows) row_strip<Type, tile_rows>(x, row, panel, bias, out);
  for (; row < x.count(); ++row) row_strip<Type, 1>(x, row, panel, bias, out);
}

void multiply(const Int16Rows& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  switch (panel.type) {
    case DType::q8_0:
      return all_rows<Q8_0Words>(x, panel, bias, out);
    case DType::q4_0:
      return all_rows<Q4_0Words>(x, panel, bias, out);
    case DType::q4_1:
      return all_rows<Q4_1Words>(x, panel, bias, out);
    case DType::q5_0:
      return all_rows<Q5_0Words>(x, panel, bias, out);
    case DType::q5_1:
      return all_rows<Q5_1Words>(x, panel, bias, out);
    case DType::q4_k:
      return all_rows<Q4_KWords>(x, panel, bias, out);
    case DType::q5_k:
      return all_rows<Q5_KWords>(x, panel, bias, out);
    case DType::q6_k:
      return all_rows<Q6_KWords>(x, panel, bias, out);
    case DType::q2_k:
      return all_rows<Q2_KWords>(x, panel, bias, out);
    case DType::q3_k:
      return all_rows<Q3_KWords>(x, panel, bias, out);
    case DType::iq4_nl:
      return all_rows<IQ4_NLWords>(x, panel, bias, out);
    case DType::iq4_xs:
      return all_rows<IQ4_XSWords>(x, panel, bias, out);
    default:
      VITRINE_CHECK(!"a type with integer products");
  }
}

bool known(DType type) { return has_decoder(type) && dtype_info(type).quantized; }

void round_chunks(const float* x, std::size_t inner, std::int16_t* numbers, float* pairs, float* half_sums) {
  for (std::size_t index = 0; index < inner / chunk; ++index, x += chunk, numbers += chunk, pairs += 2, half_sums += 2) {
    Vector largest = hn::Zero(Lanes()), sums = hn::Zero(Lanes()), halves[] = {hn::Zero(Lanes()), hn::Zero(Lanes())};
    for (std::size_t i = 0; i < chunk; i += lanes) {
      const Vector values = hn::LoadU(Lanes(), x + i);
      largest = hn::Max(largest, hn::Abs(values));
      sums = hn::Add(sums, values);
      halves[i / 16] = hn::Add(halves[i / 16], values);
    }
    const float sum = hn::GetLane(hn::SumOfLanes(Lanes(), sums));
    const float top = hn::GetLane(hn::MaxOfLanes(Lanes(), largest)), scale = top / 32767.0f;
    const Vector inverse = hn::Set(Lanes(), scale > 0.0f ? 1.0f / scale : 0.0f);
    for (std::size_t i = 0; i < chunk; i += lanes) {
      const auto whole = hn::NearestInt(hn::Mul(hn::LoadU(Lanes(), x + i), inverse));
      hn::StoreU(hn::DemoteTo(hn::Rebind<std::int16_t, Lanes>(), whole), hn::Rebind<std::int16_t, Lanes>(),
                 numbers + i);
    }
    pairs[0] = scale + (sum - sum);  // a NaN or infinity among the numbers must not disappear
    pairs[1] = sum;
    for (std::size_t half = 0; half < 2; ++half) half_sums[half] = hn::GetLane(hn::SumOfLanes(Lanes(), halves[half]));
  }
}

#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(known);
HWY_EXPORT(round_chunks);
HWY_EXPORT(multiply);

}  // namespace

bool has_int16_product(DType type) { return HWY_DYNAMIC_DISPATCH(known)(type); }

void Int16Rows::round(const DenseRows<const float>& x, std::size_t inner) {
  VITRINE_CHECK(inner % dense_chunk == 0);
  inner_ = inner;
  count_ = x.count;
  numbers_.resize(x.count * inner);
  pairs_.resize(x.count * inner / dense_chunk * 2 + 2);  // the last pair is read with two more numbers
  half_sums_.resize(x.count * inner / dense_chunk * 2);
  for (std::size_t r = 0; r < x.count; ++r) {
    const std::size_t first = r * inner / dense_chunk * 2;
    HWY_DYNAMIC_DISPATCH(round_chunks)(x.data + r * x.stride, inner, numbers_.data() + r * inner, pairs_.data() + first, half_sums_.data() + first);
  }
  const std::size_t chunks = x.count * inner / dense_chunk;
  scales_.resize(chunks);
  sums_.resize(chunks);
  for (std::size_t i = 0; i < chunks; ++i) scales_[i] = pairs_[2 * i], sums_[i] = pairs_[2 * i + 1];
}

void multiply_panel_int16(const Int16Rows& x, const WeightPanel& panel, const float* bias,
                          const DenseRows<float>& out) {
  VITRINE_CHECK(is_chunked(panel) && !panel.sparse);
  HWY_DYNAMIC_DISPATCH(multiply)(x, panel, bias, out);
}

}  // namespace vitrine
#endif
