// Rows of a cache as f32, whatever it holds.

#if defined(VITRINE_CACHE_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_CACHE_ROWS_INL_H
#undef VITRINE_CACHE_ROWS_INL_H
#else
#define VITRINE_CACHE_ROWS_INL_H
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention/seen_keys_internal.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

template <class Rows>
HWY_INLINE void blocks_as_f32(const std::byte* row, std::size_t head_dim, float* out) {
  for (std::size_t begin = 0; begin < head_dim; begin += chunk) {
    Vector numbers[chunk_vectors];
    Rows::load(row, begin / chunk, numbers);
    VITRINE_UNROLL
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      if (begin + v * lanes < head_dim) hn::StoreU(numbers[v], Lanes(), out + begin + v * lanes);
    }
  }
}

/// A row of q8_0 or q4_1. @param out  [head_dim rounded up to a multiple of 16]; nothing is written behind that
HWY_INLINE void block_row_as_f32(const KvView& view, const std::byte* row, float* out) {
  if (view.type == DType::q8_0) return blocks_as_f32<Q8_0Rows>(row, view.head_dim, out);
  blocks_as_f32<Q4_1Rows>(row, view.head_dim, out);
}

/// A row of f16. @param out  [head_dim]
HWY_INLINE void half_row_as_f32(const KvView& view, const std::byte* row, float* out) {
  const auto* bits = reinterpret_cast<const std::uint16_t*>(row);
  std::size_t d = 0;
  for (; d + lanes <= view.head_dim; d += lanes) hn::StoreU(from_f16(bits + d), Lanes(), out + d);
  for (; d < view.head_dim; ++d) out[d] = f32_from_f16(bits[d]);
}

struct FloatRows {
  const float* data;
  std::size_t stride;
};

/// Rows [first, first + count) of the cache as f32 with zeros up to `width`: where they lie, or converted into `buffer`.
HWY_INLINE FloatRows rows_as_f32(const KvView& view, std::size_t head, Range rows, std::size_t width, float* buffer) {
  if (view.type == DType::f32 && width == view.head_dim && view.row_bytes % static_cast<std::ptrdiff_t>(sizeof(float)) == 0) {
    return {reinterpret_cast<const float*>(view.row(rows.begin, head)), static_cast<std::size_t>(view.row_bytes) / sizeof(float)};
  }
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const std::byte* data = view.row(row, head);
    float* target = buffer + (row - rows.begin) * width;
    if (view.type == DType::f32) {
      std::memcpy(target, data, view.head_dim * sizeof(float));
    } else if (view.type == DType::f16) {
      half_row_as_f32(view, data, target);
    } else {
      block_row_as_f32(view, data, target);
    }
    std::fill(target + view.head_dim, target + width, 0.0f);
  }
  return {buffer, width};
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
