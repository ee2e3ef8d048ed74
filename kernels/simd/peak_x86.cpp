#include "kernels/simd/peak_x86.h"

#include "core/base/error.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/simd/unroll.h"

namespace vitrine {
namespace {

constexpr std::size_t chains = 12;  // more than latency times width of any CPU so far
volatile int sink;                  // keeps the loops alive

}  // namespace


__attribute__((target("avx512f,avx512bw,avx512bf16"))) double run_bf16_dots(std::size_t rounds) {
  __m512 sums[chains];
  VITRINE_UNROLL
  for (std::size_t i = 0; i < chains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto a = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80)), b = a;  // ones
  for (std::size_t round = 0; round < rounds; ++round) {
    VITRINE_UNROLL
    for (std::size_t i = 0; i < chains; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
  }
  __m512 total = sums[0];
  VITRINE_UNROLL
  for (std::size_t i = 1; i < chains; ++i) total = _mm512_add_ps(total, sums[i]);
  sink = static_cast<int>(_mm512_cvtss_f32(total));
  return 2.0 * 32.0 * static_cast<double>(rounds * chains);
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) double run_int8_dots(std::size_t rounds) {
  __m512i sums[chains];
  VITRINE_UNROLL
  for (std::size_t i = 0; i < chains; ++i) sums[i] = _mm512_set1_epi32(static_cast<int>(i));
  const __m512i a = _mm512_set1_epi8(1), b = a;
  for (std::size_t round = 0; round < rounds; ++round) {
    VITRINE_UNROLL
    for (std::size_t i = 0; i < chains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  __m512i total = sums[0];
  VITRINE_UNROLL
  for (std::size_t i = 1; i < chains; ++i) total = _mm512_add_epi32(total, sums[i]);
  sink = _mm512_cvtsi512_si32(total);
  return 2.0 * 64.0 * static_cast<double>(rounds * chains);
}

}  // namespace vitrine

#else

namespace vitrine {

double run_bf16_dots(std::size_t) {
  VITRINE_CHECK(!"a CPU with bfloat16 products");
  return 0.0;
}
double run_int8_dots(std::size_t) {
  VITRINE_CHECK(!"a CPU with products of bytes");
  return 0.0;
}

}  // namespace vitrine

#endif
