#pragma once

#include <span>
#include <string_view>

#include "core/base/run.h"
#include "core/base/thread_pool.h"
#include "core/tensor/tensor.h"

namespace vitrine {

/// Rounds numbers to a type, row by row on the pool.
struct Rounding {
  DType type;
  std::span<const float> importance{};  ///< [cols] mean square of what a column is multiplied with; empty: all the same
  std::string_view name;                ///< of the tensor, for errors
};

/// @param numbers  [rows, cols] or [cols] f32
/// @throws Error where the type does not divide the rows, where a number is NaN or infinite, or beyond what the type holds
Tensor round_to(const Tensor& numbers, const Rounding& rounding, ThreadPool& pool, Run& run);

}  // namespace vitrine
