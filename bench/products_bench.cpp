#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/suite.h"
#include "core/base/half.h"
#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "kernels/ops/cuda_product.h"

namespace vitrine {
namespace {

constexpr std::size_t in = 1536, out = 2048, matrices = 24;  // together larger than the caches, as a model's are
constexpr DType types[] = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0,
                           DType::q4_0, DType::q4_1, DType::q4_k, DType::q6_k};

/// Blocks of random bits with small scales, or rounded random numbers where the type can be made.
Weight random_weight(DType type, unsigned seed) {
  std::mt19937 random(seed);
  Tensor tensor(type, {out, in});
  if (const auto compress = dtype_info(type).compress) {
    std::normal_distribution<float> normal;
    std::vector<float> numbers(in * out);
    for (float& number : numbers) number = normal(random);
    compress(numbers.data(), tensor.bytes().data(), numbers.size());
    return make_weight(std::move(tensor));
  }
  for (std::byte& byte : tensor.bytes()) byte = static_cast<std::byte>(random());
  const std::size_t step = dtype_info(type).block_bytes, place = type == DType::q6_k ? 208 : 0;
  const std::uint16_t scales[] = {f16_from_f32(0.01f), f16_from_f32(0.02f)};
  for (std::size_t at = 0; at < tensor.bytes().size(); at += step) {
    std::memcpy(tensor.bytes().data() + at + place, scales, type == DType::q6_k ? 2 : 4);
  }
  return make_weight(std::move(tensor));
}

struct Row {
  DType type;
  std::size_t rows;
  Precision precision;
};

/// Relative error of the first and last row against double sums.
double relative_error(const Weight& weight, const std::vector<float>& x, const std::vector<float>& result,
                      std::size_t rows) {
  const Tensor plain = expand(weight);
  double difference = 0.0, size = 0.0;
  for (const std::size_t r : {std::size_t{0}, rows - 1}) {
    for (std::size_t c = 0; c < out; ++c) {
      double sum = 0.0;
      for (std::size_t k = 0; k < in; ++k) sum += static_cast<double>(x[r * in + k]) * plain.floats()[c * in + k];
      difference += std::pow(sum - result[r * out + c], 2);
      size += sum * sum;
    }
  }
  return std::sqrt(difference / size);
}

void product_row(benchmark::State& state, const Row& row) {
  const auto ops = make_cpu_ops(row.precision, bench_pool());
  std::vector<Weight> weights;
  for (unsigned i = 0; i < matrices; ++i) weights.push_back(i < 2 ? random_weight(row.type, i) : Weight());
  for (unsigned i = 2; i < matrices; ++i) {  // copies: only their places in memory matter
    Tensor copy(row.type, {out, in});
    std::memcpy(copy.bytes().data(), weights[i % 2].data, copy.bytes().size());
    weights[i] = make_weight(std::move(copy));
  }
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(row.rows * in), result(row.rows * out);
  for (float& number : x) number = normal(random);
  const auto multiply = [&](const Weight& weight) {
    const Product product{&weight, nullptr, {result.data(), {row.rows, out}}};
    ops->multiply({x.data(), {row.rows, in}}, {&product, 1});
  };
  multiply(weights[0]);
  const double error = relative_error(weights[0], x, result, row.rows);
  if (!(error <= (row.precision == Precision::exact ? 1e-6 : 5e-3))) return state.SkipWithError("wrong result");
  std::size_t next = 0;
  for (auto _ : state) multiply(weights[next++ % matrices]);
  const auto iterations = static_cast<double>(state.iterations());
  const double operations = 2.0 * static_cast<double>(row.rows * in * out) * iterations;
  const double bytes = static_cast<double>(weights[0].bytes()) * iterations;
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
  state.counters["of_f32_peak"] = benchmark::Counter(operations / machine_peak().flops, benchmark::Counter::kIsRate);
  state.counters["weight_bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsRate);
  state.counters["of_bandwidth"] =
      benchmark::Counter(bytes / machine_peak().read_bytes_second, benchmark::Counter::kIsRate);
  state.counters["relative_error"] = error;
}

/// A dense product with everything that has to travel to the device and back.
void device_row(benchmark::State& state, std::size_t rows) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * in), weight(out * in), result(rows * out);
  for (std::vector<float>* numbers : {&x, &weight}) {
    for (float& number : *numbers) number = normal(random);
  }
  const auto multiply = [&] { multiply_on_device({x.data(), in, rows}, {weight.data(), in, out}, in, {result.data(), out, rows}); };
  multiply();
  const Weight plain{DType::f32, out, in, reinterpret_cast<const std::byte*>(weight.data()), {}};
  if (!(relative_error(plain, x, result, rows) <= 1e-6)) return state.SkipWithError("wrong result");
  for (auto _ : state) multiply();
  const double operations = 2.0 * static_cast<double>(rows * in * out) * static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
}

}  // namespace

void register_product_rows() {
  for (const std::size_t rows : {64u, 512u}) {
    if (!cuda_missing().empty()) break;
    benchmark::RegisterBenchmark(("product/CUDA/F32/rows_" + std::to_string(rows)).c_str(), [rows](benchmark::State& state) { device_row(state, rows); })
        ->UseRealTime();
  }
  for (const DType type : types) {
    for (const std::size_t rows : {1u, 4u, 8u, 64u, 512u}) {
      for (const Precision precision : {Precision::fast, Precision::exact}) {
        const std::string name = "product/" + std::string(dtype_info(type).name) + "/rows_" + std::to_string(rows) +
                                 (precision == Precision::fast ? "/fast" : "/exact");
        benchmark::RegisterBenchmark(name.c_str(), [row = Row{type, rows, precision}](benchmark::State& state) {
          product_row(state, row);
        })->UseRealTime();
      }
    }
  }
}

}  // namespace vitrine
