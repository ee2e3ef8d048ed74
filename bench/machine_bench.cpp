#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "bench/suite.h"
#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"

namespace vitrine {
namespace {

constexpr std::size_t fma_rounds = 1 << 20;
constexpr std::size_t read_bytes = 256 << 20;

const Tensor& far_memory() {
  static const Tensor tensor = [] {
    Tensor made(DType::i8, {read_bytes});
    std::fill(made.bytes().begin(), made.bytes().end(), std::byte{1});
    return made;
  }();
  return tensor;
}

double multiply_adds_everywhere() {
  ThreadPool& pool = bench_pool();
  std::vector<double> done(pool.threads());
  pool.run(pool.threads(), [&](std::size_t i, std::size_t) { done[i] = run_multiply_adds(fma_rounds); });
  double sum = 0.0;
  for (const double operations : done) sum += operations;
  return sum;
}

void read_everywhere() {
  constexpr std::size_t piece = 1 << 20;
  const std::span<const std::byte> bytes = far_memory().bytes();
  bench_pool().run(bytes.size() / piece, [&](std::size_t i, std::size_t) {
    benchmark::DoNotOptimize(read_all(bytes.subspan(i * piece, piece)));
  });
}

/// Seconds of the fastest of a few runs: a peak is what happens when nothing disturbs.
template <class Task>
double fastest(const Task& task) {
  double best = 1e9;
  for (int repetition = 0; repetition < 7; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    task();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void multiply_add_row(benchmark::State& state) {
  double operations = 0.0;
  for (auto _ : state) operations += multiply_adds_everywhere();
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
}

void read_row(benchmark::State& state) {
  for (auto _ : state) read_everywhere();
  state.SetBytesProcessed(static_cast<std::int64_t>(read_bytes) * state.iterations());
}

}  // namespace

ThreadPool& bench_pool() {
  static ThreadPool pool(0, initialize_worker);
  return pool;
}

const MachinePeak& machine_peak() {
  static const MachinePeak peak = [] {
    double operations = 0.0;
    const double seconds = fastest([&] { operations = multiply_adds_everywhere(); });
    far_memory();
    return MachinePeak{operations / seconds, static_cast<double>(read_bytes) / fastest(read_everywhere)};
  }();
  return peak;
}

void register_machine_rows() {
  benchmark::RegisterBenchmark("machine/multiply_add_f32", multiply_add_row)->UseRealTime();
  benchmark::RegisterBenchmark("machine/read_memory", read_row)->UseRealTime();
}

}  // namespace vitrine
