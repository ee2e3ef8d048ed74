#pragma once

// The intrinsics of x86, for files whose functions are compiled for an instruction set by attributes.
// GCC 12 takes the undefined vector inside its own unmasked shuffles for a mistake (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "kernels/simd/unroll.h"

/// Where has_bf16_dot() says so (which every such CPU's F16C goes with).
#define VITRINE_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,f16c")))
