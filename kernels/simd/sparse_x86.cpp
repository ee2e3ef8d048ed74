#include "kernels/simd/sparse_x86.h"

#include "core/base/error.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include "kernels/simd/x86_internal.h"

#define VITRINE_VBMI2 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,f16c,fma,popcnt,bmi2")))

namespace vitrine {
namespace {

constexpr std::size_t tile_columns = 4, group = SparseRows::group;

/// 32 numbers of one row as f32.
struct Group {
  __m512 low, high;
};

/// Keeps the compiler from expanding straight out of memory: 1.4 ns on Zen 4, out of a register 0.5 ns.
template <class Register>
VITRINE_VBMI2 inline Register in_register(Register numbers) {
  asm("" : "+v"(numbers));
  return numbers;
}

// What is behind the numbers that are there may be read (SparseRows::spare), and is spread nowhere.

struct F32Numbers {
  static constexpr std::size_t bytes = 4;
  static VITRINE_VBMI2 inline Group load(const std::byte* numbers, const std::byte*, std::uint32_t marks) {
    const auto low = static_cast<__mmask16>(marks), high = static_cast<__mmask16>(marks >> 16);
    const auto* from = reinterpret_cast<const float*>(numbers);
    return {_mm512_maskz_expand_ps(low, in_register(_mm512_loadu_ps(from))), _mm512_maskz_expand_ps(high, in_register(_mm512_loadu_ps(from + _mm_popcnt_u32(marks & 0xffff))))};
  }
};

struct F16Numbers {
  static constexpr std::size_t bytes = 2;
  static VITRINE_VBMI2 inline Group load(const std::byte* numbers, const std::byte*, std::uint32_t marks) {
    const __m512i all = _mm512_maskz_expand_epi16(marks, in_register(_mm512_loadu_si512(numbers)));
    return {_mm512_cvtph_ps(_mm512_castsi512_si256(all)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(all, 1))};
  }
};

/// Numbers land in the upper halves of 32 bits, where they are f32: widening and shifting them afterwards took twice as long.
struct BF16Numbers {
  static constexpr std::size_t bytes = 2;
  static VITRINE_VBMI2 inline Group load(const std::byte* numbers, const std::byte*, std::uint32_t marks) {
    constexpr std::uint32_t upper_halves = 0xaaaaaaaa;
    const std::byte* behind = numbers + bytes * static_cast<std::size_t>(_mm_popcnt_u32(marks & 0xffff));
    return {_mm512_castsi512_ps(_mm512_maskz_expand_epi16(_pdep_u32(marks, upper_halves), in_register(_mm512_loadu_si512(numbers)))),
            _mm512_castsi512_ps(_mm512_maskz_expand_epi16(_pdep_u32(marks >> 16, upper_halves), in_register(_mm512_loadu_si512(behind))))};
  }
};

VITRINE_VBMI2 inline float scale_of(const std::byte* scale) {
  std::uint16_t bits;
  std::memcpy(&bits, scale, sizeof bits);
  return _cvtsh_ss(bits);
}

VITRINE_VBMI2 inline __m256i levels_of(const std::byte* numbers, std::uint32_t marks) {
  return _mm256_maskz_expand_epi8(marks, in_register(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers))));
}

/// As 16-bit numbers whose lower bytes are 0: a sum of two products with 16 bits each still fits into 32, and the factor of 256 is
/// taken back exactly.
VITRINE_VBMI2 inline __m512i levels_times_256(const std::byte* numbers, std::uint32_t marks) {
  constexpr std::uint64_t upper_bytes = 0xaaaaaaaaaaaaaaaa;
  const __m256i there = in_register(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers)));
  return _mm512_maskz_expand_epi8(_pdep_u64(marks, upper_bytes), _mm512_castsi256_si512(there));
}

struct Q8_0Numbers {
  static constexpr std::size_t bytes = 1;
  static VITRINE_VBMI2 inline Group load(const std::byte* numbers, const std::byte* scale, std::uint32_t marks) {
    const __m256i levels = levels_of(numbers, marks);
    const __m512 factor = _mm512_set1_ps(scale_of(scale));
    return {_mm512_mul_ps(factor, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(levels)))),
            _mm512_mul_ps(factor, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(levels, 1))))};
  }
};

/// The sums over the lanes of four vectors: (l0 + l2) + (l1 + l3) within 128 bits, then the blocks, halves first.
VITRINE_VBMI2 inline __m128 sums_of_four(const __m512* sums) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(sums[0], sums[1]), _mm512_unpackhi_ps(sums[0], sums[1]));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(sums[2], sums[3]), _mm512_unpackhi_ps(sums[2], sums[3]));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)), high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512 blocks = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(blocks), _mm512_extractf32x8_ps(blocks, 1));
  return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

/// Four rows of the weights; behind the last one it repeats.
struct Tile {
  SparseRows::Row rows[tile_columns];
  std::size_t columns;
  const std::byte* ahead;  // what is prefetched meanwhile, as one run: the tile after the next
  std::size_t ahead_step;  // bytes of it for every group of every row
};

Tile tile_at(const SparseRows& weights, std::size_t row, std::size_t left) {
  constexpr std::size_t furthest = 2 * tile_columns;
  Tile tile{.rows = {}, .columns = std::min(tile_columns, left), .ahead = nullptr, .ahead_step = 0};
  for (std::size_t c = 0; c < tile_columns; ++c) tile.rows[c] = weights.row(row + std::min(c, tile.columns - 1));
  const std::size_t ahead = std::min(row + furthest, weights.rows()), behind = std::min(ahead + tile_columns, weights.rows());
  tile.ahead = weights.data() + weights.begin(ahead);
  tile.ahead_step = (weights.begin(behind) - weights.begin(ahead)) / (tile_columns * weights.groups());
  return tile;
}

VITRINE_VBMI2 inline void store(const float* bias, __m128 sums, std::size_t columns, float* out) {
  alignas(16) float numbers[tile_columns];
  _mm_store_ps(numbers, sums);
  for (std::size_t c = 0; c < columns; ++c) out[c] = bias ? numbers[c] + bias[c] : numbers[c];
}

template <class Numbers, std::size_t rows>
VITRINE_VBMI2 void multiply_rows(const SparseProduct& product, std::size_t first_row) {
  const SparseRows& weights = *product.weights;
  const std::size_t groups = weights.groups();
  const float* x = product.x + first_row * product.x_stride;
  for (std::size_t column = 0; column < product.count; column += tile_columns) {
    Tile tile = tile_at(weights, product.first + column, product.count - column);
    __m512 sums[rows][tile_columns];
    VITRINE_UNROLL
    for (auto& row : sums) {
      VITRINE_UNROLL
      for (__m512& sum : row) sum = _mm512_setzero_ps();
    }
    for (std::size_t index = 0; index < groups; ++index) {
      VITRINE_UNROLL
      for (std::size_t c = 0; c < tile_columns; ++c) {
        SparseRows::Row& row = tile.rows[c];
        const std::uint32_t marks = row.marks[index];
        const Group numbers = Numbers::load(row.numbers, row.scales + index * 2, marks);
        row.numbers += static_cast<std::size_t>(_mm_popcnt_u32(marks)) * Numbers::bytes;
        if constexpr (rows == 1) _mm_prefetch(reinterpret_cast<const char*>(tile.ahead + (index * tile_columns + c) * tile.ahead_step), _MM_HINT_T0);
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          const float* of_x = x + r * product.x_stride + index * group;
          sums[r][c] = _mm512_fmadd_ps(_mm512_loadu_ps(of_x), numbers.low, sums[r][c]);
          sums[r][c] = _mm512_fmadd_ps(_mm512_loadu_ps(of_x + 16), numbers.high, sums[r][c]);
        }
      }
    }
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      store(product.bias ? product.bias + column : nullptr, sums_of_four(sums[r]), tile.columns, product.out + (first_row + r) * product.out_stride + column);
    }
  }
}

template <class Numbers>
void all_rows(const SparseProduct& product) {
  constexpr std::size_t most = 4;
  std::size_t row = 0;
  for (; row + most <= product.rows; row += most) multiply_rows<Numbers, most>(product, row);
  for (; row < product.rows; ++row) multiply_rows<Numbers, 1>(product, row);
}

}  // namespace

bool has_vbmi2() {
  static const bool has = __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
  return has;
}

void multiply_sparse_vbmi2(const SparseProduct& product) {
  switch (product.weights->type()) {
    case DType::f32:
      return all_rows<F32Numbers>(product);
    case DType::f16:
      return all_rows<F16Numbers>(product);
    case DType::bf16:
      return all_rows<BF16Numbers>(product);
    case DType::q8_0:
      return all_rows<Q8_0Numbers>(product);
    default:
      VITRINE_CHECK(!"a type of sparse weights");
  }
}

namespace {

constexpr std::size_t factors_at_once = 16;

/// What the whole numbers of a group are multiplied by: both scales, less the 256 of levels_times_256.
VITRINE_VBMI2 inline void make_factors(const SparseInt16Product& product, const Tile& tile, std::size_t first, float (*factors)[factors_at_once]) {
  const std::size_t count = std::min(factors_at_once, product.weights->groups() - first);
  const auto there = static_cast<__mmask16>((1u << count) - 1);
  const __m512 of_x = _mm512_mul_ps(_mm512_maskz_loadu_ps(there, product.scales + first), _mm512_set1_ps(0x1p-8f));
  VITRINE_UNROLL
  for (std::size_t c = 0; c < tile_columns; ++c) {
    const __m512 of_weights = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, tile.rows[c].scales + first * 2));
    _mm512_store_ps(factors[c], _mm512_mul_ps(of_weights, of_x));
  }
}

}  // namespace

VITRINE_VBMI2 void multiply_sparse_int16_vbmi2(const SparseInt16Product& product) {
  const SparseRows& weights = *product.weights;
  const std::size_t groups = weights.groups();
  for (std::size_t column = 0; column < product.count; column += tile_columns) {
    Tile tile = tile_at(weights, product.first + column, product.count - column);
    __m512 sums[tile_columns];
    VITRINE_UNROLL
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    for (std::size_t first = 0; first < groups; first += factors_at_once) {
      alignas(64) float factors[tile_columns][factors_at_once];
      make_factors(product, tile, first, factors);
      for (std::size_t index = first; index < std::min(first + factors_at_once, groups); ++index) {
        const __m512i x = _mm512_loadu_si512(product.x + index * group);
        VITRINE_UNROLL
        for (std::size_t c = 0; c < tile_columns; ++c) {
          SparseRows::Row& row = tile.rows[c];
          const std::uint32_t marks = row.marks[index];
          const __m512i levels = levels_times_256(row.numbers, marks);
          row.numbers += static_cast<std::size_t>(_mm_popcnt_u32(marks));
          _mm_prefetch(reinterpret_cast<const char*>(tile.ahead + (index * tile_columns + c) * tile.ahead_step), _MM_HINT_T0);
          sums[c] = _mm512_fmadd_ps(_mm512_set1_ps(factors[c][index - first]), _mm512_cvtepi32_ps(_mm512_madd_epi16(x, levels)), sums[c]);
        }
      }
    }
    store(product.bias ? product.bias + column : nullptr, sums_of_four(sums), tile.columns, product.out + column);
  }
}

}  // namespace vitrine

#else

namespace vitrine {

bool has_vbmi2() { return false; }
void multiply_sparse_vbmi2(const SparseProduct&) { VITRINE_CHECK(!"reachable"); }
void multiply_sparse_int16_vbmi2(const SparseInt16Product&) { VITRINE_CHECK(!"reachable"); }

}  // namespace vitrine

#endif
