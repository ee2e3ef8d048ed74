#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/random_weight.h"
#include "bench/suite.h"
#include "core/base/half.h"
#include "kernels/ops/dense.h"
#include "kernels/simd/dot_x86.h"

namespace vitrine {
namespace {

constexpr std::size_t inner = 1536, rows = packed_columns;  // of a panel: what a worker takes at a time

WeightPanel panel_of(const Weight& weight) { return {weight.type, weight.data, weight.stride_bytes(), rows, inner}; }

/// Bytes read and written by one call on every thread.
Work work_of(const Weight& weight, std::size_t number_bytes) {
  return {.cached_bytes = static_cast<double>(bench_pool().threads() * (weight.bytes() + rows * inner * number_bytes)),
          .kernel = std::string(dtype_info(weight.type).name)};
}

/// Every worker does the same with buffers of its own.
template <typename Number>
std::vector<std::vector<Number>> buffers(std::size_t count) {
  return std::vector<std::vector<Number>>(bench_pool().threads(), std::vector<Number>(count));
}

void expand_row(benchmark::State& state, DType type) {
  const Weight weight = random_weight(type, rows, inner, 1);
  const Tensor expected = expand(weight);
  auto targets = buffers<float>(rows * inner);
  const auto expand_all = [&] {
    bench_pool().run(targets.size(), [&](std::size_t i, std::size_t) {
      expand_panel(panel_of(weight), DenseRows<float>{targets[i].data(), inner, rows});
    });
  };
  expand_all();
  if (std::memcmp(targets[0].data(), expected.bytes().data(), expected.bytes().size()) != 0)
    return state.SkipWithError("differs from the plain expansion");
  measure(state, work_of(weight, sizeof(float)), expand_all);
}

void pack_row(benchmark::State& state, DType type) {
  if (!has_bf16_dot()) return state.SkipWithError("this CPU has no such instruction");
  const Weight weight = random_weight(type, rows, inner, 1);
  const Tensor expected = expand(weight);
  auto targets = buffers<std::uint16_t>(rows * inner);
  auto scratch = buffers<float>(packed_rows * inner);
  const auto pack_all = [&] {
    bench_pool().run(targets.size(), [&](std::size_t i, std::size_t) {
      pack_panel(panel_of(weight), targets[i].data(), scratch[i].data());
    });
  };
  pack_all();
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t k = 0; k < inner; ++k) {  // [inner / 2][columns][2]
      const std::uint16_t found = targets[0][(k / 2 * packed_columns + r) * 2 + k % 2];
      if (found != bf16_from_f32(expected.floats()[r * inner + k]))
        return state.SkipWithError("differs from the rounded expansion");
    }
  }
  measure(state, work_of(weight, sizeof(std::uint16_t)), pack_all);
}

void compress_row(benchmark::State& state, DType type) {
  const auto compress = dtype_info(type).compress;
  if (!compress) return state.SkipWithError("this program does not round to this type");
  const Weight weight = random_weight(type, rows, inner, 1);
  const Tensor numbers = expand(weight);
  auto targets = buffers<std::byte>(weight.bytes());
  const auto compress_all = [&] {
    bench_pool().run(targets.size(), [&](std::size_t i, std::size_t) {
      compress(numbers.floats().data(), targets[i].data(), rows * inner);
    });
  };
  compress_all();
  // Rounding again what was rounded may move a number to the next step, not further.
  std::vector<float> again(rows * inner);
  dtype_info(type).expand(targets[0].data(), again.data(), again.size());
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < again.size(); ++i) {
    difference += std::pow(static_cast<double>(again[i]) - numbers.floats()[i], 2);
    size += std::pow(static_cast<double>(numbers.floats()[i]), 2);
  }
  const DTypeInfo& info = dtype_info(type);
  const double most = 8 * info.block_bytes < 4 * info.block_size ? 0.5 : 0.1;  // of few levels a step is large
  if (!(std::sqrt(difference / size) <= most)) return state.SkipWithError("rounding twice moves numbers");
  measure(state, work_of(weight, sizeof(float)), compress_all);
}

void register_rows(const SuiteOptions&) {
  for (const DType type : weight_types()) {
    const auto add = [&](const char* what, void (*row)(benchmark::State&, DType)) {
      const std::string name = "quantization/" + std::string(dtype_info(type).name) + "/" + what;
      benchmark::RegisterBenchmark(name.c_str(), [row, type](benchmark::State& state) {
        row(state, type);
      })->UseRealTime();
    };
    add("expand", expand_row);
    add("pack_bf16", pack_row);
    add("compress", compress_row);
  }
}

}  // namespace

const Suite& suite_quantization() {
  static const Suite suite{"quantization",
                           "blocks to numbers, to packed bfloat16, and back, for each weight type (in the cache)",
                           register_rows};
  return suite;
}

}  // namespace vitrine
