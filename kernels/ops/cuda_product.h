#pragma once

#include <cstddef>

#include "kernels/ops/dense.h"

namespace vitrine {

/// out = x * weight^T on the first CUDA device, f32 throughout: x [x.count, inner], weight [weight.count, inner], out [x.count,
/// weight.count]. Every sum runs over `inner` in order, so that a row's bits do not depend on the rows beside it.
/// @throws Error where there is no device, it has no room, or it fails
void multiply_on_device(const DenseRows<const float>& x, const DenseRows<const float>& weight, std::size_t inner, const DenseRows<float>& out);

}  // namespace vitrine
