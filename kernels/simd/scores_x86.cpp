// Keys go from the cache to pairs of bfloat16 in registers: two conversions and one packing for 32 numbers, then one
// instruction for each row. History: kernels/attention/flash_narrow-inl.h.
#include "kernels/simd/scores_x86.h"

#include "core/base/error.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include "kernels/simd/x86_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t keys_at_once = 4, most_rows = 4, chunk = 32;

VITRINE_BF16 inline __m512 half_vector(const std::byte* place) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(place)));
}

/// The two numbers at the start of a block; eight bytes are read.
VITRINE_BF16 inline __m128 halves_at(const std::byte* block) {
  return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(block)));
}

VITRINE_BF16 inline __m512bh packed(__m512 first, __m512 second) { return _mm512_cvtne2ps_pbh(second, first); }

struct Halves {
  static VITRINE_BF16 __m512bh load(const std::byte* row, std::size_t d, std::size_t left) {
    const __m512 second = left > 16 ? half_vector(row + 2 * d + 32) : _mm512_setzero_ps();
    return packed(half_vector(row + 2 * d), second);
  }
};

struct Bytes {
  static VITRINE_BF16 __m512bh load(const std::byte* row, std::size_t d, std::size_t) {
    const std::byte* block = row + d / chunk * 34;
    const __m512 scale = _mm512_broadcastss_ps(halves_at(block));
    const auto numbers = [block, scale](std::size_t i) VITRINE_BF16 {
      const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + i));
      return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(levels)), scale);
    };
    return packed(numbers(0), numbers(16));
  }
};

struct Nibbles {
  static VITRINE_BF16 __m512bh load(const std::byte* row, std::size_t d, std::size_t) {
    const std::byte* block = row + d / chunk * 20;
    const __m128 pair = halves_at(block);
    const __m512 scale = _mm512_broadcastss_ps(pair), minimum = _mm512_broadcastss_ps(_mm_movehdup_ps(pair));
    const __m512 levels = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 table = _mm512_add_ps(_mm512_mul_ps(scale, levels), minimum);
    const __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 4)));
    // A permutation reads the low four bits of an index.
    return packed(_mm512_permutexvar_ps(codes, table), _mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), table));
  }
};

/// Sums over the lanes of four vectors, within blocks of 128 bits.
VITRINE_BF16 inline __m512 folded(const __m512 (&sums)[keys_at_once]) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(sums[0], sums[1]), _mm512_unpackhi_ps(sums[0], sums[1]));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(sums[2], sums[3]), _mm512_unpackhi_ps(sums[2], sums[3]));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  return _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
}

VITRINE_BF16 inline __m512 blocks_added(__m512 x, __m512 y) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
}

/// Lanes 4 r to 4 r + 3 of the result: the scores of row r.
template <std::size_t rows>
VITRINE_BF16 inline __m512 all_folded(const __m512 (&sums)[rows][keys_at_once]) {
  __m512 blocks[most_rows];
  VITRINE_UNROLL
  for (std::size_t r = 0; r < most_rows; ++r) blocks[r] = r < rows ? folded(sums[r < rows ? r : 0]) : blocks[0];
  return blocks_added(blocks_added(blocks[0], blocks[1]), blocks_added(blocks[2], blocks[3]));
}

/// Rows [row, row + rows) against all keys.
template <class Type, std::size_t rows>
VITRINE_BF16 void score_rows(const KeyScores& p, std::size_t row) {
  const std::size_t q_stride = (p.dim + chunk - 1) / chunk * chunk, run = keys_at_once * p.row_bytes;
  const std::uint16_t* q = p.q + row * q_stride;
  for (std::size_t key = 0; key < p.count; key += keys_at_once) {
    const std::byte* keys[keys_at_once];
    __m512 sums[rows][keys_at_once];
    VITRINE_UNROLL
    for (std::size_t c = 0; c < keys_at_once; ++c) {
      keys[c] = p.keys + std::min(key + c, p.count - 1) * p.row_bytes;
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows; ++r) sums[r][c] = _mm512_setzero_ps();
    }
    for (std::size_t byte = 0; row == 0 && byte < run; byte += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(p.ahead + key * p.row_bytes + byte), _MM_HINT_T0);
    }
    for (std::size_t d = 0; d < p.dim; d += chunk) {
      VITRINE_UNROLL
      for (std::size_t c = 0; c < keys_at_once; ++c) {
        const __m512bh numbers = Type::load(keys[c], d, p.dim - d);
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          const auto factors = reinterpret_cast<__m512bh>(_mm512_loadu_si512(q + r * q_stride + d));
          sums[r][c] = _mm512_dpbf16_ps(sums[r][c], factors, numbers);
        }
      }
    }
    const __m512 scores = all_folded<rows>(sums);
    float* out = p.scores + row * p.stride + key;
    _mm_storeu_ps(out, _mm512_castps512_ps128(scores));
    if constexpr (rows > 1) _mm_storeu_ps(out + p.stride, _mm512_extractf32x4_ps(scores, 1));
    if constexpr (rows > 2) _mm_storeu_ps(out + 2 * p.stride, _mm512_extractf32x4_ps(scores, 2));
    if constexpr (rows > 3) _mm_storeu_ps(out + 3 * p.stride, _mm512_extractf32x4_ps(scores, 3));
  }
}

template <class Type>
VITRINE_BF16 void score_all(const KeyScores& p) {
  for (std::size_t row = 0; row < p.rows; row += most_rows) {
    switch (std::min(most_rows, p.rows - row)) {
      case 4: score_rows<Type, 4>(p, row); break;
      case 3: score_rows<Type, 3>(p, row); break;
      case 2: score_rows<Type, 2>(p, row); break;
      default: score_rows<Type, 1>(p, row);
    }
  }
}

}  // namespace

void score_keys(const KeyScores& scores) {
  switch (scores.numbers) {
    case KeyNumbers::halves: return score_all<Halves>(scores);
    case KeyNumbers::bytes: return score_all<Bytes>(scores);
    case KeyNumbers::nibbles: return score_all<Nibbles>(scores);
  }
}

}  // namespace vitrine

#else

namespace vitrine {

void score_keys(const KeyScores&) {
  VITRINE_CHECK(!"a CPU with bfloat16 products");
}

}  // namespace vitrine
#endif
