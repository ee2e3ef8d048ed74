#pragma once

#include <cstddef>

namespace vitrine {

// Loops that do nothing but one instruction, for one thread (see kernels/peak.h): the instructions that Highway lacks.
// Each may be called where its has_... says so.

/// Dot products of bfloat16 pairs (has_bf16_dot of kernels/simd/dot_x86.h); returns the number of operations done.
double run_bf16_dots(std::size_t rounds);

/// Dot products of four bytes (has_int8_dot of kernels/simd/int8_x86.h); returns the number of operations done.
double run_int8_dots(std::size_t rounds);

}  // namespace vitrine
