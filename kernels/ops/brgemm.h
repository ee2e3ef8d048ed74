#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/ops/dense.h"

namespace vitrine {

/// Whether this CPU multiplies bfloat16 numbers in hardware, and --simd allows it.
bool has_bf16_products();

/// Dense products of bfloat16 rows through oneDNN, with primitives kept per shape. One object a worker.
class Bf16Multiplier {
 public:
  Bf16Multiplier();
  ~Bf16Multiplier();
  /// out[r, c] = sum_k x[r, k] * weights[c, k] (+ bias[c]), summed in f32. All strides and the inner size are padded
  /// sizes.
  void run(const DenseRows<const std::uint16_t>& x, const DenseRows<const std::uint16_t>& weights, const float* bias,
           const DenseRows<float>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
