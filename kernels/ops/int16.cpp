#include "kernels/ops/int16.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/int16.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/ops/unroll.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void round_chunks(const float*, std::size_t, std::int16_t*, float*) {}
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
  return hn::PromoteTo(Words(), hn::LoadU(hn::Rebind<std::uint8_t, Words>(), reinterpret_cast<const std::uint8_t*>(source)));
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

/// {scale, minimum} in the lower lanes; the others hold anything.
HWY_INLINE hn::Vec<Four> pair_at(const std::byte* block) {
#if HWY_TARGET <= HWY_AVX2
  return hn::PromoteTo(
      Four(), hn::LoadU(hn::Rebind<hwy::float16_t, Four>(), reinterpret_cast<const hwy::float16_t*>(block)));
#else
  const ScalePair pair = scale_pair(block);
  const float numbers[4] = {pair.scale, pair.minimum, 0.0f, 0.0f};
  return hn::LoadU(Four(), numbers);
#endif
}

struct Q8_0Words {
  static constexpr bool has_minimum = false;
  static HWY_INLINE hn::Vec<Four> load(const std::byte* row, std::size_t index, WordVector* out) {
    const auto* numbers = reinterpret_cast<const std::int8_t*>(row + index * 34 + 2);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) {
      out[v] = hn::PromoteTo(Words(), hn::LoadU(hn::Rebind<std::int8_t, Words>(), numbers + v * words));
    }
    return pair_at(row + index * 34);
  }
};

struct Q4_0Words {
  static constexpr bool has_minimum = false;
  static HWY_INLINE hn::Vec<Four> load(const std::byte* row, std::size_t index, WordVector* out) {
    nibbles(row + index * 18 + 2, out);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < word_vectors; ++v) out[v] = hn::Sub(out[v], hn::Set(Words(), 8));
    return pair_at(row + index * 18);
  }
};

struct Q4_1Words {
  static constexpr bool has_minimum = true;
  static HWY_INLINE hn::Vec<Four> load(const std::byte* row, std::size_t index, WordVector* out) {
    nibbles(row + index * 20 + 4, out);
    return pair_at(row + index * 20);
  }
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
  std::size_t row, chunks;
  const std::byte* weights[tile_columns];
  const std::byte* ahead;  // what is prefetched meanwhile, as one run: the tile after the next
  std::size_t chunk_bytes;
  float* sums;  // [rows, tile_columns]
};

template <class Type, std::size_t rows>
HWY_INLINE void tile(const Place& place) {
  FloatVector sums[rows][tile_columns];
  hn::Vec<Four> minima[rows][tile_columns];
  const std::int16_t* x[rows];
  const float* pairs[rows];
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    x[r] = place.x->numbers(place.row + r);
    pairs[r] = place.x->pairs(place.row + r);
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) sums[r][c] = hn::Zero(Floats()), minima[r][c] = hn::Zero(Four());
  }
  for (std::size_t index = 0; index < place.chunks; ++index) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      WordVector weights[word_vectors];
      const hn::Vec<Four> pair = Type::load(place.weights[c], index, weights);
      hwy::Prefetch(place.ahead + (index * tile_columns + c) * place.chunk_bytes);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        const auto both = hn::Mul(pair, hn::LoadU(Four(), pairs[r] + 2 * index));  // {scale * scale, minimum * sum}
        const FloatVector factor = hn::Set(Floats(), hn::GetLane(both));
        sums[r][c] = hn::MulAdd(factor, chunk_sum(x[r] + index * chunk, weights), sums[r][c]);
        if constexpr (Type::has_minimum) minima[r][c] = hn::Add(minima[r][c], both);
      }
    }
  }
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      float sum = hn::GetLane(hn::SumOfLanes(Floats(), sums[r][c]));
      if constexpr (Type::has_minimum) sum += hn::GetLane(hn::Broadcast<1>(minima[r][c]));
      place.sums[r * tile_columns + c] = sum;
    }
  }
}

template <class Type, std::size_t rows>
HWY_NOINLINE void row_strip(const Int16Rows& x, std::size_t row, const WeightPanel& panel, const float* bias,
                            const DenseRows<float>& out) {
  const std::size_t chunks = panel.inner / chunk;
  float sums[rows * tile_columns];
  for (std::size_t column = 0; column < panel.count; column += tile_columns) {
    const std::size_t columns = std::min(tile_columns, panel.count - column);
    Place place{&x, row, chunks, {}, panel.rows + (column + 2 * tile_columns) * panel.row_bytes, panel.row_bytes / chunks, sums};
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
    case DType::q8_0: return all_rows<Q8_0Words>(x, panel, bias, out);
    case DType::q4_0: return all_rows<Q4_0Words>(x, panel, bias, out);
    case DType::q4_1: return all_rows<Q4_1Words>(x, panel, bias, out);
    default: VITRINE_CHECK(!"a type with integer products");
  }
}

bool known(DType type) { return type == DType::q8_0 || type == DType::q4_0 || type == DType::q4_1; }

void round_chunks(const float* x, std::size_t inner, std::int16_t* numbers, float* pairs) {
  for (std::size_t index = 0; index < inner / chunk; ++index, x += chunk, numbers += chunk, pairs += 2) {
    Vector largest = hn::Zero(Lanes()), sums = hn::Zero(Lanes());
    for (std::size_t i = 0; i < chunk; i += lanes) {
      const Vector values = hn::LoadU(Lanes(), x + i);
      largest = hn::Max(largest, hn::Abs(values));
      sums = hn::Add(sums, values);
    }
    const float sum = hn::GetLane(hn::SumOfLanes(Lanes(), sums));
    const float top = hn::GetLane(hn::MaxOfLanes(Lanes(), largest)), scale = top / 32767.0f;
    const Vector inverse = hn::Set(Lanes(), scale > 0.0f ? 1.0f / scale : 0.0f);
    for (std::size_t i = 0; i < chunk; i += lanes) {
      const auto whole = hn::NearestInt(hn::Mul(hn::LoadU(Lanes(), x + i), inverse));
      hn::StoreU(hn::DemoteTo(hn::Rebind<std::int16_t, Lanes>(), whole), hn::Rebind<std::int16_t, Lanes>(), numbers + i);
    }
    pairs[0] = scale + (sum - sum);  // a NaN or infinity among the numbers must not disappear
    pairs[1] = sum;
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
  for (std::size_t r = 0; r < x.count; ++r) {
    HWY_DYNAMIC_DISPATCH(round_chunks)
    (x.data + r * x.stride, inner, numbers_.data() + r * inner, pairs_.data() + r * inner / dense_chunk * 2);
  }
}

void multiply_panel_int16(const Int16Rows& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  VITRINE_CHECK(is_chunked(panel.type, panel.inner));
  HWY_DYNAMIC_DISPATCH(multiply)(x, panel, bias, out);
}

}  // namespace vitrine
#endif
