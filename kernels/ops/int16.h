#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/ops/dense.h"

namespace vitrine {

/// Rows of f32 as 16-bit integers with one scale per chunk: 128 times finer than bfloat16, and integer products need no
/// expansion of quantised weights. Each chunk also has the sum of its numbers, for weights with a minimum.
class Int16Rows {
 public:
  /// @param inner  a multiple of dense_chunk
  void round(const DenseRows<const float>& x, std::size_t inner);
  const std::int16_t* numbers(std::size_t row) const { return numbers_.data() + row * inner_; }
  /// {scale, sum} of every chunk
  const float* pairs(std::size_t row) const { return pairs_.data() + row * inner_ / dense_chunk * 2; }
  /// The same, each kind by itself.
  const float* scales(std::size_t row) const { return scales_.data() + row * inner_ / dense_chunk; }
  const float* sums(std::size_t row) const { return sums_.data() + row * inner_ / dense_chunk; }
  /// Sums of 16 numbers, two a chunk.
  const float* half_sums(std::size_t row) const { return half_sums_.data() + row * inner_ / dense_chunk * 2; }
  std::size_t count() const { return count_; }

 private:
  std::vector<std::int16_t> numbers_;
  std::vector<float> pairs_, scales_, sums_, half_sums_;
  std::size_t inner_ = 0, count_ = 0;
};

/// Whether multiply_panel_int16 knows the type.
bool has_int16_product(DType type);

/// out[r, c] = sum_k x[r, k] * panel[c, k] (+ bias[c]) with integer products inside a chunk, summed in f32.
void multiply_panel_int16(const Int16Rows& x, const WeightPanel& panel, const float* bias, const DenseRows<float>& out);

}  // namespace vitrine
