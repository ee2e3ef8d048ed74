#include "bench/machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "kernels/simd/dot_x86.h"
#include "kernels/simd/int8_x86.h"
#include "kernels/simd/peak_x86.h"

namespace vitrine {
namespace {

constexpr std::size_t rounds = 1 << 20;
constexpr std::size_t read_bytes = 256 << 20;

std::size_t wanted_threads = 0;
bool pool_made = false;

const Tensor& far_memory() {
  static const Tensor tensor = [] {
    Tensor made(DType::i8, {read_bytes});
    std::fill(made.bytes().begin(), made.bytes().end(), std::byte{1});
    return made;
  }();
  return tensor;
}

double everywhere(double (*loop)(std::size_t rounds)) {
  ThreadPool& pool = bench_pool();
  std::vector<double> done(pool.threads());
  pool.run(pool.threads(), [&](std::size_t i, std::size_t) { done[i] = loop(rounds); });
  double sum = 0.0;
  for (const double operations : done) sum += operations;
  return sum;
}

/// Operations or bytes a second in the fastest of many short runs: a peak is what happens when nothing disturbs.
double fastest(double (*task)()) {
  double best = 0.0;
  for (int repetition = 0; repetition < 40; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    const double done = task();
    best = std::max(best, done / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

bool wide() { return simd_in_use().starts_with("AVX3"); }

}  // namespace

void choose_bench_threads(std::size_t threads) {
  VITRINE_CHECK(!pool_made);
  wanted_threads = threads;
}

ThreadPool& bench_pool() {
  static ThreadPool pool(wanted_threads, initialize_worker);
  pool_made = true;
  return pool;
}

bool bf16_in_use() { return wide() && has_bf16_dot(); }
bool int8_in_use() { return wide() && has_int8_dot(); }

std::vector<Precision> precisions() {
  std::vector<Precision> known{Precision::fast, Precision::exact};
  if (has_int8_products()) known.push_back(Precision::int8);
  return known;
}

double multiply_adds_everywhere() { return everywhere(run_multiply_adds); }
double bf16_dots_everywhere() { return everywhere(run_bf16_dots); }
double int8_dots_everywhere() { return everywhere(run_int8_dots); }

double read_everywhere() {
  constexpr std::size_t piece = 1 << 20;
  static std::atomic<unsigned> sum;  // keeps the loop alive
  const std::span<const std::byte> bytes = far_memory().bytes();
  bench_pool().run(bytes.size() / piece,
                   [&](std::size_t i, std::size_t) { sum += read_all(bytes.subspan(i * piece, piece)); });
  return static_cast<double>(read_bytes);
}

const MachinePeak& machine_peak() {
  static const MachinePeak peak = [] {
    MachinePeak made;
    made.f32 = fastest(multiply_adds_everywhere);
    if (bf16_in_use()) made.bf16 = fastest(bf16_dots_everywhere);
    if (int8_in_use()) made.int8 = fastest(int8_dots_everywhere);
    far_memory();
    made.read = fastest(read_everywhere);
    return made;
  }();
  return peak;
}

}  // namespace vitrine
