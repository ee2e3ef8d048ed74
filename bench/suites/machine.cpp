// The peaks by themselves: with one thread (does a second one double them, or do two share a core?) and with all.
#include "bench/machine.h"

#include <benchmark/benchmark.h>

#include "bench/suite.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"

namespace vitrine {
namespace {

constexpr const char* no_instruction = "this CPU, or the instruction set in use, has no such instruction";

void label(benchmark::State& state, std::size_t threads) {
  state.SetLabel(simd_in_use() + " " + std::to_string(threads) + (threads == 1 ? " thread" : " threads"));
}

void one_thread(benchmark::State& state) {
  double operations = 0.0;
  for (auto _ : state) operations += run_multiply_adds(1 << 20);
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
  label(state, 1);
}

void row(const char* name, const char* unit, double (*task)(), bool there) {
  benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
    if (!there) return state.SkipWithError(no_instruction);
    double done = 0.0;
    for (auto _ : state) done += task();
    state.counters[unit] = benchmark::Counter(done, benchmark::Counter::kIsRate);
    label(state, bench_pool().threads());
  })->UseRealTime();
}

void register_rows(const SuiteOptions&) {
  benchmark::RegisterBenchmark("machine/multiply_add_f32/one_thread", one_thread)->UseRealTime();
  row("machine/multiply_add_f32", "FLOP/s", multiply_adds_everywhere, true);
  row("machine/dot_bf16", "FLOP/s", bf16_dots_everywhere, bf16_in_use());
  row("machine/dot_int8", "FLOP/s", int8_dots_everywhere, int8_in_use());
  row("machine/read_memory", "bytes/s", read_everywhere, true);
}

}  // namespace

const Suite& suite_machine() {
  static const Suite suite{"machine", "what this CPU can do at best: multiply-adds, dot products, reading memory",
                           register_rows};
  return suite;
}

}  // namespace vitrine
