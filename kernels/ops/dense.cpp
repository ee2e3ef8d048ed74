#include "kernels/ops/dense.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "kernels/ops/sparse.h"
#include "kernels/simd/dot_x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/dense.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/ops/bf16-inl.h"
#include "kernels/ops/reduce-inl.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

static_assert(chunk == dense_chunk);

constexpr std::size_t tile_columns = four_sums;  // reduced at once
// Rows of a tile over f32 weights, so that sums, weights and one row of x fit into 32 or 16 registers.
constexpr std::size_t dense_tile_rows = HWY_TARGET <= HWY_AVX3 ? 6 : 2;
// Rows of a tile that decodes its weights: each decoded vector is used at once.
constexpr std::size_t block_tile_rows = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

struct Place {
  const float* x;  // first row of the tile
  std::size_t x_stride;
  const std::byte* weights[tile_columns];
  const float* bias;  // of the tile's columns, or null
  float* out;
  std::size_t out_stride;
  const std::byte* ahead;  // what is prefetched meanwhile, as one run: the tile after the next
  std::size_t chunk_bytes;
  std::size_t columns;  // really wanted, at most tile_columns; the others repeat the last one
};

template <std::size_t rows>
HWY_INLINE void finish(const Place& place, const Vector (&sums)[rows][tile_columns]) {
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    float* out = place.out + r * place.out_stride;
    alignas(16) float numbers[tile_columns];
    sums_of_four(sums[r], numbers);
    for (std::size_t c = 0; c < place.columns; ++c) out[c] = place.bias ? numbers[c] + place.bias[c] : numbers[c];
  }
}

template <class Rows, std::size_t rows>
HWY_INLINE void tile(const Place& place, std::size_t inner) {
  Vector sums[rows][tile_columns];
  VITRINE_UNROLL
  for (auto& row : sums) {
    VITRINE_UNROLL
    for (Vector& sum : row) sum = hn::Zero(Lanes());
  }
  for (std::size_t index = 0; index < inner / chunk; ++index) {
    if constexpr (Rows::type == DType::f32) {  // vector by vector: each of x and of the weights is loaded once
      VITRINE_UNROLL
      for (std::size_t v = 0; v < chunk_vectors; ++v) {
        const std::size_t k = index * chunk + v * lanes;
        Vector weights[tile_columns];
        VITRINE_UNROLL
        for (std::size_t c = 0; c < tile_columns; ++c) {
          weights[c] = hn::LoadU(Lanes(), reinterpret_cast<const float*>(place.weights[c]) + k);
          if constexpr (rows == 1) hwy::Prefetch(place.ahead + (index * tile_columns + c) * place.chunk_bytes + v * 64);
        }
        VITRINE_UNROLL
        for (std::size_t r = 0; r < rows; ++r) {
          const Vector x = hn::LoadU(Lanes(), place.x + r * place.x_stride + k);
          VITRINE_UNROLL
          for (std::size_t c = 0; c < tile_columns; ++c) sums[r][c] = hn::MulAdd(x, weights[c], sums[r][c]);
        }
      }
    } else {
      VITRINE_UNROLL
      for (std::size_t c = 0; c < tile_columns; ++c) {
        Vector weights[chunk_vectors];
        Rows::load(place.weights[c], index, weights);
        if constexpr (rows == 1) hwy::Prefetch(place.ahead + (index * tile_columns + c) * place.chunk_bytes);
        VITRINE_UNROLL
        for (std::size_t v = 0; v < chunk_vectors; ++v) {
          VITRINE_UNROLL
          for (std::size_t r = 0; r < rows; ++r) {
            const Vector x = hn::LoadU(Lanes(), place.x + r * place.x_stride + index * chunk + v * lanes);
            sums[r][c] = hn::MulAdd(x, weights[v], sums[r][c]);
          }
        }
      }
    }
  }
  finish<rows>(place, sums);
}

template <class Rows, std::size_t rows>
HWY_NOINLINE void row_strip(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias,
                            const DenseRows<float>& out) {
  for (std::size_t column = 0; column < panel.count; column += tile_columns) {
    Place place{x.data,
                x.stride,
                {},
                bias ? bias + column : nullptr,
                out.data + column,
                out.stride,
                panel.rows + column * panel.row_bytes + prefetch_distance(panel),
                panel.row_bytes / (panel.inner / chunk),
                std::min(tile_columns, panel.count - column)};
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      place.weights[c] = panel.rows + (column + std::min(c, place.columns - 1)) * panel.row_bytes;
    }
    tile<Rows, rows>(place, panel.inner);
  }
}

template <class Rows>
void all_rows(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias,
              const DenseRows<float>& out) {
  constexpr std::size_t most = Rows::type == DType::f32 ? dense_tile_rows : block_tile_rows;
  for (std::size_t row = 0; row < x.count;) {
    const DenseRows<const float> from{x.data + row * x.stride, x.stride, x.count - row};
    const DenseRows<float> to{out.data + row * out.stride, out.stride, out.count - row};
    const auto strip = [&]<std::size_t rows>() {
      row_strip<Rows, rows>(from, panel, bias, to);
      row += rows;
    };
    const std::size_t left = x.count - row;
    if (left >= most)
      strip.template operator()<most>();
    else if (most > 4 && left >= 4)
      strip.template operator() < most<4 ? most : 4>();
    else if (most > 2 && left >= 2)
      strip.template operator()<2>();
    else
      strip.template operator()<1>();
  }
}

/// Calls `task` with the decoder of the type.
template <class Task>
void with_rows(DType type, const Task& task) {
  switch (type) {
    case DType::f32:
      return task(F32Rows());
    case DType::f16:
      return task(F16Rows());
    case DType::bf16:
      return task(BF16Rows());
    case DType::q8_0:
      return task(Q8_0Rows());
    case DType::q4_0:
      return task(Q4_0Rows());
    case DType::q4_1:
      return task(Q4_1Rows());
    case DType::q5_0:
      return task(Q5_0Rows());
    case DType::q5_1:
      return task(Q5_1Rows());
    case DType::q4_k:
      return task(Q4_KRows());
    case DType::q5_k:
      return task(Q5_KRows());
    case DType::q6_k:
      return task(Q6_KRows());
    case DType::q2_k:
      return task(Q2_KRows());
    case DType::q3_k:
      return task(Q3_KRows());
    case DType::iq4_nl:
      return task(IQ4_NLRows());
    case DType::iq4_xs:
      return task(IQ4_XSRows());
    default:
      VITRINE_CHECK(!"a type of weights");
  }
}

void multiply(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias,
              const DenseRows<float>& out) {
  with_rows(panel.type, [&]<class Rows>(Rows) { all_rows<Rows>(x, panel, bias, out); });
}

template <class Store, typename T>
void expand_rows(const WeightPanel& panel, const DenseRows<T>& target, const Store& store) {
  with_rows(panel.type, [&]<class Rows>(Rows) HWY_ATTR {
    for (std::size_t r = 0; r < panel.count; ++r) {
      const std::byte* row = panel.rows + r * panel.row_bytes;
      T* out = target.data + r * target.stride;
      for (std::size_t index = 0; index < panel.inner / chunk; ++index) {
        Vector numbers[chunk_vectors];
        Rows::load(row, index, numbers);
        VITRINE_UNROLL
        for (std::size_t v = 0; v < chunk_vectors; ++v) store(numbers[v], out + index * chunk + v * lanes);
      }
    }
  });
}

void expand_f32(const WeightPanel& panel, const DenseRows<float>& target) {
  expand_rows(panel, target, [](Vector numbers, float* out) HWY_ATTR { hn::StoreU(numbers, Lanes(), out); });
}

void expand_bf16(const WeightPanel& panel, const DenseRows<std::uint16_t>& target) {
  expand_rows(panel, target, [](Vector numbers, std::uint16_t* out) HWY_ATTR { store_bf16(numbers, out); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(multiply);
HWY_EXPORT(expand_f32);
HWY_EXPORT(expand_bf16);

/// Rows that end inside a chunk, by the plain expansion, and zeros up to the chunk's end.
template <typename T, class Convert>
void expand_ragged(const WeightPanel& panel, const DenseRows<T>& target, const Convert& convert) {
  static thread_local std::vector<float> row;  // a token loop does not allocate
  row.resize(panel.inner);
  for (std::size_t r = 0; r < panel.count; ++r) {
    dtype_info(panel.type).expand(panel.rows + r * panel.row_bytes, row.data(), panel.inner);
    T* out = target.data + r * target.stride;
    std::transform(row.begin(), row.end(), out, convert);
    std::fill(out + panel.inner, out + padded_to_chunk(panel.inner), T{0});
  }
}

}  // namespace

WeightPanel panel_of(const Weight& weight, std::size_t first, std::size_t count) {
  if (const SparseRows* sparse = sparse_rows(weight)) return {weight.type, nullptr, 0, count, weight.cols, sparse, first};
  return {weight.type, weight.row(first), weight.stride_bytes(), count, weight.cols};
}

bool has_decoder(DType type) {
  switch (type) {
    case DType::f32: case DType::f16: case DType::bf16: case DType::q8_0: case DType::q4_0: case DType::q4_1: case DType::q5_0: case DType::q5_1:
    case DType::q4_k: case DType::q5_k: case DType::q6_k: case DType::q2_k: case DType::q3_k: case DType::iq4_nl: case DType::iq4_xs: return true;
    default: return false;
  }
}

bool is_chunked(const WeightPanel& panel) {
  return panel.sparse || (panel.inner % dense_chunk == 0 && has_decoder(panel.type));
}

void multiply_panel(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias,
                    const DenseRows<float>& out) {
  VITRINE_CHECK(is_chunked(panel));
  if (panel.sparse) return multiply_sparse(x, panel, bias, out);
  HWY_DYNAMIC_DISPATCH(multiply)(x, panel, bias, out);
}

void expand_panel(const WeightPanel& panel, const DenseRows<float>& target) {
  if (panel.sparse) return expand_sparse(panel, target);
  if (is_chunked(panel)) return HWY_DYNAMIC_DISPATCH(expand_f32)(panel, target);
  expand_ragged(panel, target, [](float x) { return x; });
}

void expand_panel(const WeightPanel& panel, const DenseRows<std::uint16_t>& target) {
  VITRINE_CHECK(!panel.sparse);
  if (is_chunked(panel)) return HWY_DYNAMIC_DISPATCH(expand_bf16)(panel, target);
  expand_ragged(panel, target, bf16_from_f32);
}

void expand_rows(const WeightPanel& panel, std::size_t first, std::size_t rows, float* target) {
  const std::size_t inner = padded_to_chunk(panel.inner), count = first < panel.count ? std::min(rows, panel.count - first) : 0;
  WeightPanel some = panel;
  some.count = count;
  some.first += first;
  if (!panel.sparse) some.rows += first * panel.row_bytes;
  expand_panel(some, DenseRows<float>{target, inner, count});
  std::fill(target + count * inner, target + rows * inner, 0.0f);
}

void pack_panel(const WeightPanel& panel, std::uint16_t* target, float* scratch) {
  const std::size_t inner = padded_to_chunk(panel.inner);
  for (std::size_t row = 0; row < packed_columns; row += packed_rows) {
    expand_rows(panel, row, packed_rows, scratch);
    pack_rows(scratch, inner, inner, target + 2 * row);
  }
}

}  // namespace vitrine
#endif
