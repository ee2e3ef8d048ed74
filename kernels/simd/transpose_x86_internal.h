#pragma once

#include <cstddef>

#include "kernels/simd/x86_internal.h"

// Sixteen rows of 16 words to columns, for what packs weights. Part of every 512-bit set, so that callers of any of them inline it.

#define VITRINE_AVX512 __attribute__((target("avx512f"), always_inline))

namespace vitrine {

/// Rows of 16 words to columns, within blocks of four by four.
VITRINE_AVX512 inline void transpose_blocks(__m512i* rows) {
  const __m512i a = _mm512_unpacklo_epi32(rows[0], rows[1]), b = _mm512_unpackhi_epi32(rows[0], rows[1]);
  const __m512i c = _mm512_unpacklo_epi32(rows[2], rows[3]), d = _mm512_unpackhi_epi32(rows[2], rows[3]);
  rows[0] = _mm512_unpacklo_epi64(a, c);
  rows[1] = _mm512_unpackhi_epi64(a, c);
  rows[2] = _mm512_unpacklo_epi64(b, d);
  rows[3] = _mm512_unpackhi_epi64(b, d);
}

/// columns[b]: words 4 b + i of the rows 4 c + j, which lie in rows[4 c + i] after transpose_blocks, at place j of block c.
VITRINE_AVX512 inline void gather_columns(const __m512i* rows, std::size_t i, __m512i* columns) {
  const __m512i low01 = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x44), high01 = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xee);
  const __m512i low23 = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x44), high23 = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xee);
  columns[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
  columns[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
  columns[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
  columns[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
}

}  // namespace vitrine
