#pragma once

#include "core/base/thread_pool.h"
#include "core/model/ops.h"

// What flows back through products and attention: dense f32 products of the library, panel by panel. The same bits for any number
// of threads.

namespace vitrine {

/// out = g * weight, the weight expanded to f32 a few rows at a time. @param g  [rows, out features]  @param out  [rows, in]
void multiply_transposed(ThreadPool& pool, TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out);

/// As Ops::attention_adjoint says; a few rows of a map exist at once, unless somebody asks for all.
/// @throws Error where the rule has no derivative
void attention_adjoint(ThreadPool& pool, const AttentionAdjoint& adjoint);

}  // namespace vitrine
