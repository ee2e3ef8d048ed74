#pragma once

#include <cstddef>
#include <span>

namespace vitrine {

/// Loops that do nothing but what they measure, for one thread: what this CPU can do at best, with the instruction set
/// in use.

/// Multiply-adds of f32 in registers; returns the number of floating-point operations done.
double run_multiply_adds(std::size_t rounds);

/// Reads every byte once (but for less than 256 at the end); the result depends on all of them.
unsigned read_all(std::span<const std::byte> bytes);

}  // namespace vitrine
