#pragma once

#include <string>
#include <vector>

#include "core/base/thread_pool.h"

namespace vitrine {

/// The pool that every suite works with, made once: oneDNN is tamed per thread before anything else.
ThreadPool& bench_pool();

/// What this machine can do at best with all threads of the pool, measured once: the base of every percentage.
struct MachinePeak {
  double flops = 0.0;              ///< f32 multiply-adds in registers, operations a second
  double read_bytes_second = 0.0;  ///< of memory, far beyond the caches
};
const MachinePeak& machine_peak();

// Each registers its rows; a row is checked against its definition before it is timed.
void register_machine_rows();
void register_attention_rows();
void register_product_rows();
void register_model_rows(const std::vector<std::string>& models);

}  // namespace vitrine
