// History, 512 x 576 x 1536 on one core of Zen 4 / Zen 5, share of the core's own bf16 peak (register-only loop):
// oneDNN 2.6 on row-major weights  about 80% (it repacks them at each call); on weights packed by us as BA16a64b2a it
//                                  falls to its reference code, a hundred times slower
// tile of 6 rows x 64 columns      99% (Zen 5): 24 sums, 4 vectors of weights, x broadcast from memory
#include "kernels/simd/dot_x86.h"

#include "core/base/error.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include "kernels/simd/transpose_x86_internal.h"
#include "kernels/simd/x86_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_vectors = packed_columns / 16;
constexpr std::size_t tile_rows = 6;  // 24 sums and 4 vectors of weights in 32 registers

VITRINE_BF16 inline __mmask16 lanes_of(std::size_t columns, std::size_t vector) {
  const std::size_t left = columns > vector * 16 ? columns - vector * 16 : 0;
  return left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
}

VITRINE_BF16 inline __m512bh pair_everywhere(const std::uint16_t* pair) {
  std::int32_t bits;
  std::memcpy(&bits, pair, sizeof bits);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
}

template <std::size_t rows, std::size_t vectors>
VITRINE_BF16 void tile(const PackedProduct& place) {
  __m512 sums[rows][vectors];
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  const std::uint16_t* weights = place.weights;
  const std::uint16_t* x = place.x;
  for (std::size_t k = 0; k < place.inner; k += 2, weights += place.weights_step, x += place.x_step) {
    __m512bh columns[vectors];
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) columns[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(weights + v * 32));
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      const __m512bh pair = pair_everywhere(x + r * place.x_stride);
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], pair, columns[v]);
    }
  }
  VITRINE_UNROLL
  for (std::size_t v = 0; v < vectors; ++v) {
    const __mmask16 lanes = lanes_of(place.columns, v);
    const __m512 bias = place.bias ? _mm512_maskz_loadu_ps(lanes, place.bias + v * 16) : _mm512_setzero_ps();
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows; ++r) {
      float* out = place.out + r * place.out_stride + v * 16;
      const __m512 before = place.accumulate ? _mm512_maskz_loadu_ps(lanes, out) : bias;
      _mm512_mask_storeu_ps(out, lanes, _mm512_add_ps(sums[r][v], before));
    }
  }
}

using Tile = void (*)(const PackedProduct&);
template <std::size_t vectors>
constexpr Tile tiles_of[tile_rows] = {tile<1, vectors>, tile<2, vectors>, tile<3, vectors>, tile<4, vectors>, tile<5, vectors>, tile<6, vectors>};
constexpr const Tile* tiles[most_vectors] = {tiles_of<1>, tiles_of<2>, tiles_of<3>, tiles_of<4>};

/// 32 numbers as pairs.
VITRINE_BF16 inline __m512i pairs_at(const float* x) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}

/// Columns 4 b + i of transposed blocks to their places.
VITRINE_BF16 inline void store_columns(const __m512i* rows, std::size_t i, std::uint16_t* target) {
  __m512i columns[4];
  gather_columns(rows, i, columns);
  VITRINE_UNROLL
  for (std::size_t b = 0; b < 4; ++b) _mm512_storeu_si512(target + (4 * b + i) * 2 * packed_columns, columns[b]);
}

VITRINE_BF16 void pack_16_rows(const float* x, std::size_t stride, std::size_t inner, std::uint16_t* target) {
  for (std::size_t k = 0; k < inner; k += 32) {
    __m512i rows[packed_rows];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < packed_rows; ++r) rows[r] = pairs_at(x + r * stride + k);
    VITRINE_UNROLL
    for (std::size_t r = 0; r < packed_rows; r += 4) transpose_blocks(rows + r);
    VITRINE_UNROLL
    for (std::size_t i = 0; i < 4; ++i) store_columns(rows, i, target + k * packed_columns);
  }
}

VITRINE_BF16 void round_numbers(const float* x, std::size_t count, std::uint16_t* out) {
  for (std::size_t i = 0; i < count; i += 32) _mm512_storeu_si512(out + i, pairs_at(x + i));
}

}  // namespace

void pack_rows(const float* rows, std::size_t stride, std::size_t inner, std::uint16_t* target) { pack_16_rows(rows, stride, inner, target); }
void round_to_bf16(const float* x, std::size_t count, std::uint16_t* out) { round_numbers(x, count, out); }

bool has_bf16_dot() {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

void multiply_packed(const PackedProduct& product) {
  PackedProduct part = product;
  const Tile* by_rows = tiles[(product.columns + 15) / 16 - 1];
  for (std::size_t row = 0; row < product.rows; row += part.rows) {
    part.rows = std::min(tile_rows, product.rows - row);
    part.x = product.x + row * product.x_stride;
    part.out = product.out + row * product.out_stride;
    by_rows[part.rows - 1](part);
  }
}

}  // namespace vitrine

#else

namespace vitrine {

bool has_bf16_dot() { return false; }
void multiply_packed(const PackedProduct&) { VITRINE_CHECK(!"a CPU with bfloat16 products"); }
void pack_rows(const float*, std::size_t, std::size_t, std::uint16_t*) { VITRINE_CHECK(!"a CPU with bfloat16 products"); }
void round_to_bf16(const float*, std::size_t, std::uint16_t*) { VITRINE_CHECK(!"a CPU with bfloat16 products"); }

}  // namespace vitrine
#endif
