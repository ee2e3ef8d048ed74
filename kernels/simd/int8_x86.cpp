// History: see docs/decisions/0008-products-in-8-bits.md.
#include "kernels/simd/int8_x86.h"

#include "core/base/error.h"

namespace vitrine {

void Int8Rows::resize(std::size_t rows, std::size_t inner) {
  VITRINE_CHECK(inner % int8_chunk == 0);
  inner_ = inner;
  numbers_.resize(rows * inner);
  scales_.resize(rows * inner / int8_chunk);
  offsets_.resize(rows * inner / int8_chunk);
}

}  // namespace vitrine

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include "kernels/simd/transpose_x86_internal.h"
#include "kernels/simd/x86_internal.h"

#define VITRINE_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace vitrine {
namespace {

constexpr std::size_t group = 4;  // bytes that one instruction multiplies and adds
constexpr std::size_t chunk_groups = int8_chunk / group;
constexpr std::size_t tile_rows = 6, tile_vectors = 2;  // 12 sums in f32, 12 of a chunk, 2 vectors of weights in 32 registers
constexpr std::size_t tile_columns = 16 * tile_vectors;
constexpr float no_number_below = 1e-30f;

/// 32 numbers.
struct Chunk {
  __m512 low, high;
};

VITRINE_VNNI inline Chunk chunk_at(const float* x) { return {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)}; }

/// The larger magnitude of each lane, as bits: a NaN is larger than infinity, infinity than any number.
VITRINE_VNNI inline __m512i magnitudes(const Chunk& chunk) {
  const __m512i mask = _mm512_set1_epi32(0x7fffffff);
  return _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(chunk.low), mask), _mm512_and_si512(_mm512_castps_si512(chunk.high), mask));
}

struct Rounding {
  __m512 scale, inverse;
};

/// Of 16 chunks whose largest magnitudes these are; `whole` is what they become.
VITRINE_VNNI inline Rounding rounding_of(__m512i largest, float whole) {
  const __m512 top = _mm512_castsi512_ps(largest), full = _mm512_set1_ps(whole);
  const __mmask16 counts = _mm512_cmp_ps_mask(top, _mm512_set1_ps(no_number_below), _CMP_NLT_UQ);
  return {_mm512_maskz_div_ps(counts, top, full), _mm512_maskz_div_ps(counts, full, top)};
}

/// 32 whole numbers, four at a time from the lower and the upper half.
VITRINE_VNNI inline __m512i words_of(const Chunk& chunk, __m512 inverse) {
  return _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(chunk.low, inverse)), _mm512_cvtps_epi32(_mm512_mul_ps(chunk.high, inverse)));
}

/// Two chunks as 64 bytes: 8 groups of the first, then those of the second. Group 2i holds numbers 4i to 4i + 3 of a chunk, group
/// 2i + 1 those 16 further on.
VITRINE_VNNI inline __m512i bytes_of(const Chunk& first, __m512 first_inverse, const Chunk& second, __m512 second_inverse) {
  const __m512i mixed = _mm512_packs_epi16(words_of(first, first_inverse), words_of(second, second_inverse));
  const __m512i order = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  return _mm512_permutexvar_epi32(order, mixed);
}


VITRINE_VNNI inline std::int32_t sum_of_bytes(__m256i bytes) {
  const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

VITRINE_VNNI void round_chunk(const float* x, std::int8_t* numbers, float* scale, std::int32_t* offset) {
  const Chunk chunk = chunk_at(x);
  const std::uint32_t largest = _mm512_reduce_max_epu32(magnitudes(chunk));
  const Rounding rounding = rounding_of(_mm512_set1_epi32(static_cast<int>(largest)), 127.0f);
  const __m256i bytes = _mm512_castsi512_si256(bytes_of(chunk, rounding.inverse, chunk, rounding.inverse));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(numbers), bytes);
  *scale = _mm512_cvtss_f32(rounding.scale);
  *offset = -128 * sum_of_bytes(bytes);
}

// Halves of the lanes of two vectors side by side, the larger of the two that meet.
VITRINE_VNNI inline __m512i join_words(__m512i a, __m512i b) { return _mm512_max_epu32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)); }
VITRINE_VNNI inline __m512i join_pairs(__m512i a, __m512i b) { return _mm512_max_epu32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)); }
VITRINE_VNNI inline __m512i join_blocks(__m512i a, __m512i b) { return _mm512_max_epu32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee)); }

/// The largest of each of 16 vectors, lane r that of vector r.
VITRINE_VNNI inline __m512i largest_of_each(__m512i* rows) {
  __m512i fours[4];
  VITRINE_UNROLL
  for (std::size_t i = 0; i < 4; ++i) fours[i] = join_pairs(join_words(rows[4 * i], rows[4 * i + 1]), join_words(rows[4 * i + 2], rows[4 * i + 3]));
  // Each block of four lanes of fours[i] has the largest of rows 4i to 4i + 3 in a quarter of the numbers.
  const __m512i low = join_blocks(fours[0], fours[1]), high = join_blocks(fours[2], fours[3]);
  return _mm512_max_epu32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd));
}

/// Columns 4 b + i of transposed blocks to their places, for the first `blocks` b.
VITRINE_VNNI inline void store_columns(const __m512i* rows, std::size_t i, std::size_t blocks, std::uint8_t* target) {
  __m512i columns[4];
  gather_columns(rows, i, columns);
  for (std::size_t b = 0; b < blocks; ++b) _mm512_storeu_si512(target + (4 * b + i) * group * int8_columns, columns[b]);
}

struct PackPlace {
  const float* rows;
  std::size_t inner;
  Int8Panel target;  // its first column
  float full;
};

/// One or two chunks of 16 rows, from number k on.
template <std::size_t chunks>
VITRINE_VNNI inline void pack_chunks(const PackPlace& place, std::size_t k) {
  const auto [rows, inner, target, full] = place;
  alignas(64) float inverses[chunks][int8_pack_rows];
  VITRINE_UNROLL
  for (std::size_t c = 0; c < chunks; ++c) {
    __m512i largest[int8_pack_rows];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < int8_pack_rows; ++r) largest[r] = magnitudes(chunk_at(rows + r * inner + k + c * int8_chunk));
    const Rounding rounding = rounding_of(largest_of_each(largest), full);
    _mm512_storeu_ps(target.scales + (k / int8_chunk + c) * int8_columns, rounding.scale);
    _mm512_store_ps(inverses[c], rounding.inverse);
  }
  __m512i bytes[int8_pack_rows];
  VITRINE_UNROLL
  for (std::size_t r = 0; r < int8_pack_rows; ++r) {
    const float* row = rows + r * inner + k;
    const Chunk first = chunk_at(row), second = chunks == 2 ? chunk_at(row + int8_chunk) : first;
    const __m512i raised = _mm512_set1_epi8(static_cast<char>(0x80));  // 128 more, without a sign
    bytes[r] = _mm512_xor_si512(bytes_of(first, _mm512_set1_ps(inverses[0][r]), second, _mm512_set1_ps(inverses[chunks - 1][r])), raised);
  }
  VITRINE_UNROLL
  for (std::size_t r = 0; r < int8_pack_rows; r += 4) transpose_blocks(bytes + r);
  VITRINE_UNROLL
  for (std::size_t i = 0; i < 4; ++i) store_columns(bytes, i, 2 * chunks, target.numbers + k * int8_columns);
}

VITRINE_VNNI void pack(const PackPlace& place) {
  std::size_t k = 0;
  for (; k + 2 * int8_chunk <= place.inner; k += 2 * int8_chunk) pack_chunks<2>(place, k);
  if (k < place.inner) pack_chunks<1>(place, k);
}

VITRINE_VNNI inline __m512i four_everywhere(const std::int8_t* numbers) {
  std::int32_t bits;
  std::memcpy(&bits, numbers, sizeof bits);
  return _mm512_set1_epi32(bits);
}

struct Place {
  const Int8Product& product;
  std::size_t row, column;
};

template <std::size_t rows>
VITRINE_VNNI inline void store_tile(const Place& place, const __m512 (&sums)[rows][tile_vectors]) {
  const Int8Product& product = place.product;
  VITRINE_UNROLL
  for (std::size_t v = 0; v < tile_vectors; ++v) {
    const std::size_t column = place.column + 16 * v, left = product.columns > column ? product.columns - column : 0;
    const __mmask16 lanes = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    const __m512 bias = product.bias && left > 0 ? _mm512_maskz_loadu_ps(lanes, product.bias + column) : _mm512_setzero_ps();
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      if (left > 0) _mm512_mask_storeu_ps(product.out + (place.row + r - product.first_row) * product.out_stride + column, lanes, _mm512_add_ps(sums[r][v], bias));
    }
  }
}

template <std::size_t rows>
VITRINE_VNNI void tile(const Place& place) {
  const Int8Rows& x = place.product.x;
  const std::size_t chunks = x.inner() / int8_chunk;
  __m512 sums[rows][tile_vectors];
  const std::int8_t* numbers[rows];
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    numbers[r] = x.numbers(place.row + r);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < tile_vectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  const float* scales = x.scales(place.row);
  const std::int32_t* offsets = x.offsets(place.row);
  const std::uint8_t* weights = place.product.weights.numbers + place.column * group;
  const float* weight_scales = place.product.weights.scales + place.column;
  for (std::size_t c = 0; c < chunks; ++c, weight_scales += int8_columns) {
    __m512i products[rows][tile_vectors];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < tile_vectors; ++v) products[r][v] = _mm512_set1_epi32(offsets[r * chunks + c]);
    }
    VITRINE_UNROLL
    for (std::size_t g = 0; g < chunk_groups; ++g, weights += group * int8_columns) {
      __m512i columns[tile_vectors];
      VITRINE_UNROLL
      for (std::size_t v = 0; v < tile_vectors; ++v) columns[v] = _mm512_loadu_si512(weights + v * 64);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        const __m512i four = four_everywhere(numbers[r] + c * int8_chunk + g * group);
        VITRINE_UNROLL
        for (std::size_t v = 0; v < tile_vectors; ++v) products[r][v] = _mm512_dpbusd_epi32(products[r][v], columns[v], four);
      }
    }
    VITRINE_UNROLL
    for (std::size_t v = 0; v < tile_vectors; ++v) {
      const __m512 scale = _mm512_loadu_ps(weight_scales + v * 16);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) {
        const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(products[r][v]), _mm512_set1_ps(scales[r * chunks + c]));
        sums[r][v] = _mm512_fmadd_ps(scaled, scale, sums[r][v]);
      }
    }
  }
  store_tile<rows>(place, sums);
}

using Tile = void (*)(const Place&);
constexpr Tile tiles[tile_rows] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};

}  // namespace

bool has_int8_dot() { return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"); }

void Int8Rows::round(std::size_t row, const float* x) {
  const std::size_t chunks = inner_ / int8_chunk;
  for (std::size_t c = 0; c < chunks; ++c) {
    const std::size_t at = row * chunks + c;
    round_chunk(x + c * int8_chunk, numbers_.data() + at * int8_chunk, scales_.data() + at, offsets_.data() + at);
  }
}

void pack_int8(const float* rows, std::size_t inner, std::size_t first, const Int8Panel& panel, float full) {
  pack({rows, inner, {panel.numbers + first * group, panel.scales + first}, full});
}

void multiply_int8(const Int8Product& product) {
  const std::size_t end = product.first_row + product.rows;
  for (std::size_t column = 0; column < product.columns; column += tile_columns) {
    std::size_t count = 0;
    for (std::size_t row = product.first_row; row < end; row += count) {
      count = std::min(tile_rows, end - row);
      tiles[count - 1]({product, row, column});
    }
  }
}

}  // namespace vitrine

#else

namespace vitrine {

bool has_int8_dot() { return false; }
void Int8Rows::round(std::size_t, const float*) { VITRINE_CHECK(!"a CPU with 8-bit products"); }
void pack_int8(const float*, std::size_t, std::size_t, const Int8Panel&, float) { VITRINE_CHECK(!"a CPU with 8-bit products"); }
void multiply_int8(const Int8Product&) { VITRINE_CHECK(!"a CPU with 8-bit products"); }

}  // namespace vitrine
#endif
