#pragma once

#include <cstddef>
#include <span>

#include "core/tensor/dtype.h"

namespace vitrine {

/// A row to blocks of 32 with a binary16 scale (q8_0) or scale and minimum (q4_1). Codes are the nearest to the scale as it
/// was rounded, so that an error is at most half a step; scales below 2^-24 are 0. A block with an infinity or NaN reads
/// as NaN. The same bits on every instruction set.
/// @param out  blocks of x.size() rounded up to whole ones; what stands behind x repeats its last number
/// Returns false where a scale or minimum of finite numbers is past 65,504.
bool store_block_row(DType type, std::span<const float> x, std::byte* out);

/// Blocks of `size` numbers, a power of two that divides x.size(), times the normalised Hadamard matrix. out may be x.
void hadamard_row(std::span<const float> x, std::size_t size, float* out);

}  // namespace vitrine
