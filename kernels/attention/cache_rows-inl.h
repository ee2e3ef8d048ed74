// Rows of a cache in blocks as f32 vectors.

#if defined(VITRINE_CACHE_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_CACHE_ROWS_INL_H
#undef VITRINE_CACHE_ROWS_INL_H
#else
#define VITRINE_CACHE_ROWS_INL_H
#endif

#include <algorithm>

#include "core/model/attention.h"
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

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
