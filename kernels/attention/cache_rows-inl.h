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

#include "kernels/attention/flash_internal.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

using flash::Range;

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
    std::size_t d = 0;
    if (view.type == DType::f16) {
      const auto* bits = reinterpret_cast<const std::uint16_t*>(data);
      for (; d + lanes <= view.head_dim; d += lanes) hn::StoreU(from_f16(bits + d), Lanes(), target + d);
    }
    const std::size_t bytes = dtype_info(view.type).block_bytes;
    if (d < view.head_dim) dtype_info(view.type).expand(data + d * bytes, target + d, view.head_dim - d);
    std::fill(target + view.head_dim, target + width, 0.0f);
  }
  return {buffer, width};
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
