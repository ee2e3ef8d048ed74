#pragma once

#include <vector>

#include "core/tensor/tensor.h"

namespace vitrine {

/// The types that weights come in.
std::vector<DType> weight_types();

/// A matrix [rows, cols] of rounded random numbers, or of random blocks with small scales where the type cannot be
/// made.
Weight random_weight(DType type, std::size_t rows, std::size_t cols, unsigned seed);

}  // namespace vitrine
