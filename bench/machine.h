#pragma once

#include <cstddef>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/ops.h"

namespace vitrine {

/// Says how many threads bench_pool() gets; once, before it is asked for. 0 = the cores this process may use.
void choose_bench_threads(std::size_t threads);

/// The pool that every suite works with, made once: oneDNN is tamed per thread before anything else.
ThreadPool& bench_pool();

/// What this machine can do at best with all threads of the pool and the instruction set in use, measured once: the
/// base of every percentage. 0 where the CPU has no such instruction, or it is not in use.
struct MachinePeak {
  double f32 = 0.0;   ///< multiply-adds in registers, operations a second
  double bf16 = 0.0;  ///< dot products of pairs
  double int8 = 0.0;  ///< dot products of four bytes
  double read = 0.0;  ///< of memory far beyond the caches, bytes a second
};
const MachinePeak& machine_peak();

// One call of each, on all threads of the pool: operations or bytes done.
double multiply_adds_everywhere();
double bf16_dots_everywhere();
double int8_dots_everywhere();
double read_everywhere();
bool bf16_in_use();
/// Those that this machine and --simd know.
std::vector<Precision> precisions();
bool int8_in_use();

}  // namespace vitrine
