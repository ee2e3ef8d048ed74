#include "kernels/ops/sparse.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "kernels/ops/expand_order.h"
#include "kernels/simd/sparse_x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/sparse.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/ops/reduce-inl.h"
#include "kernels/ops/weight_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

static_assert(chunk == dense_chunk && chunk == SparseRows::group);

constexpr std::size_t tile_columns = four_sums;
constexpr std::size_t tile_rows = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

/// Numbers that are there, `from`, to their places among the 32 of a group: eight columns at a time (of f32 four), by lookups of bytes.
template <std::size_t number_bytes>
HWY_INLINE void spread(const std::byte* from, std::uint32_t marks, std::byte* to) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < chunk; ++i, marks >>= 1, to += number_bytes) {
    std::memset(to, 0, number_bytes);
    if ((marks & 1u) == 0) continue;
    std::memcpy(to, from, number_bytes);
    from += number_bytes;
  }
#else
  const hn::FixedTag<std::uint8_t, 16> bytes;
  const hn::FixedTag<std::uint8_t, 8> half;
  constexpr std::size_t step = number_bytes == 4 ? 4 : 8;
  VITRINE_UNROLL
  for (std::size_t first = 0; first < chunk; first += step) {
    const std::uint32_t of_step = marks >> first & ((1u << step) - 1);
    const auto there = hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(from));
    auto* target = reinterpret_cast<std::uint8_t*>(to + first * number_bytes);
    if constexpr (number_bytes == 1) {
      const auto order = hn::LoadU(half, expand_bytes_order[of_step].data());
      hn::StoreU(hn::LowerHalf(half, hn::TableLookupBytesOr0(there, hn::Combine(bytes, order, order))), half, target);
    } else if constexpr (number_bytes == 2) {
      hn::StoreU(hn::TableLookupBytesOr0(there, hn::LoadU(bytes, expand_halves_order[of_step].data())), bytes, target);
    } else {
      hn::StoreU(hn::TableLookupBytesOr0(there, hn::LoadU(bytes, expand_words_order[of_step].data())), bytes, target);
    }
    from += static_cast<std::size_t>(std::popcount(of_step)) * number_bytes;
  }
#endif
}

/// A group of one row as the dense decoder of its type makes vectors of it.
template <class Rows>
HWY_INLINE void load_group(const SparseRows::Row& row, std::size_t index, Vector* out) {
  alignas(64) std::byte block[chunk * sizeof(float)];
  if constexpr (Rows::type == DType::q8_0) {
    std::memcpy(block, row.scales + index * 2, 2);
    spread<1>(row.numbers, row.marks[index], block + 2);
  } else {
    spread<Rows::type == DType::f32 ? 4 : 2>(row.numbers, row.marks[index], block);
  }
  Rows::load(block, 0, out);
}

template <class Rows>
constexpr std::size_t number_bytes = Rows::type == DType::q8_0 ? 1 : Rows::type == DType::f32 ? 4 : 2;

/// Behind the numbers of a group.
template <class Rows>
HWY_INLINE void step(SparseRows::Row& row, std::size_t index) {
  row.numbers += static_cast<std::size_t>(std::popcount(row.marks[index])) * number_bytes<Rows>;
}

struct Place {
  const float* x;  // first row of the tile
  std::size_t x_stride;
  SparseRows::Row weights[tile_columns];
  const float* bias;  // of the tile's columns, or null
  float* out;
  std::size_t out_stride;
  std::size_t columns;  // really wanted, at most tile_columns; the others repeat the last one
};

template <class Rows, std::size_t rows>
HWY_NOINLINE void tile(Place place, std::size_t groups) {
  Vector sums[rows][tile_columns];
  VITRINE_UNROLL
  for (auto& row : sums) {
    VITRINE_UNROLL
    for (Vector& sum : row) sum = hn::Zero(Lanes());
  }
  for (std::size_t index = 0; index < groups; ++index) {
    VITRINE_UNROLL
    for (std::size_t c = 0; c < tile_columns; ++c) {
      Vector weights[chunk_vectors];
      load_group<Rows>(place.weights[c], index, weights);
      step<Rows>(place.weights[c], index);
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
  VITRINE_UNROLL
  for (std::size_t r = 0; r < rows; ++r) {
    alignas(16) float numbers[tile_columns];
    sums_of_four(sums[r], numbers);
    for (std::size_t c = 0; c < place.columns; ++c) place.out[r * place.out_stride + c] = place.bias ? numbers[c] + place.bias[c] : numbers[c];
  }
}

template <class Rows>
void all_rows(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  for (std::size_t row = 0, rows = 0; row < x.count; row += rows) {
    rows = x.count - row >= tile_rows ? tile_rows : 1;
    for (std::size_t column = 0; column < panel.count; column += tile_columns) {
      Place place{x.data + row * x.stride, x.stride, {}, bias ? bias + column : nullptr, out.data + row * out.stride + column, out.stride,
                  std::min(tile_columns, panel.count - column)};
      VITRINE_UNROLL
      for (std::size_t c = 0; c < tile_columns; ++c) place.weights[c] = panel.sparse->row(panel.first + column + std::min(c, place.columns - 1));
      rows == 1 ? tile<Rows, 1>(place, panel.sparse->groups()) : tile<Rows, tile_rows>(place, panel.sparse->groups());
    }
  }
}

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
    default:
      VITRINE_CHECK(!"a type of sparse weights");
  }
}

/// Whether sums run over as many lanes as those of kernels/simd/sparse_x86.cpp.
bool is_wide() { return HWY_TARGET <= HWY_AVX3 && lanes == 16; }

void multiply(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  with_rows(panel.type, [&]<class Rows>(Rows) { all_rows<Rows>(x, panel, bias, out); });
}

void expand(const WeightPanel& panel, const DenseRows<float>& target) {
  with_rows(panel.type, [&]<class Rows>(Rows) HWY_ATTR {
    for (std::size_t r = 0; r < panel.count; ++r) {
      SparseRows::Row row = panel.sparse->row(panel.first + r);
      for (std::size_t index = 0; index < panel.sparse->groups(); ++index) {
        Vector numbers[chunk_vectors];
        load_group<Rows>(row, index, numbers);
        step<Rows>(row, index);
        VITRINE_UNROLL
        for (std::size_t v = 0; v < chunk_vectors; ++v) hn::StoreU(numbers[v], Lanes(), target.data + r * target.stride + index * chunk + v * lanes);
      }
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(multiply);
HWY_EXPORT(expand);
HWY_EXPORT(is_wide);

bool use_vbmi2() { return HWY_DYNAMIC_DISPATCH(is_wide)() && has_vbmi2(); }

}  // namespace

void multiply_sparse(const DenseRows<const float>& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  if (use_vbmi2()) return multiply_sparse_vbmi2({x.data, x.stride, x.count, panel.sparse, panel.first, panel.count, bias, out.data, out.stride});
  HWY_DYNAMIC_DISPATCH(multiply)(x, panel, bias, out);
}

bool has_sparse_int16(DType type) { return type == DType::q8_0 && use_vbmi2(); }

void multiply_sparse_int16(const Int16Rows& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out) {
  for (std::size_t r = 0; r < x.count(); ++r) {
    multiply_sparse_int16_vbmi2({x.numbers(r), x.scales(r), panel.sparse, panel.first, panel.count, bias, out.data + r * out.stride});
  }
}

void expand_sparse(const WeightPanel& panel, const DenseRows<float>& target) { HWY_DYNAMIC_DISPATCH(expand)(panel, target); }

}  // namespace vitrine
#endif
