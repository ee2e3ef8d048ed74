#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/random_weight.h"
#include "bench/suite.h"
#include "kernels/kernels.h"
#include "kernels/ops/cuda_product.h"

namespace vitrine {
namespace {

constexpr std::size_t in = 1536, out = 2048, matrices = 24;  // together larger than the caches, as a model's are

struct Row {
  DType type;
  std::size_t rows;
  Precision precision;
};

/// Matrices of one type: two that differ and copies, for which only their places in memory matter. The last type asked
/// for is kept.
const std::vector<Weight>& weights_of(DType type) {
  static std::vector<Weight> weights;
  if (!weights.empty() && weights.front().type == type) return weights;
  weights.clear();
  for (unsigned i = 0; i < 2; ++i) weights.push_back(random_weight(type, out, in, i));
  for (unsigned i = 2; i < matrices; ++i) {
    Tensor copy(type, {out, in});
    std::memcpy(copy.bytes().data(), weights[i % 2].data, copy.bytes().size());
    weights.push_back(make_weight(std::move(copy)));
  }
  return weights;
}

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

/// Few rows are multiplied by 16-bit integers or straight from the weights under fast precision: bound by memory.
Arithmetic arithmetic_of(const Row& row) {
  if (row.precision == Precision::int8 && row.rows >= 64) return Arithmetic::int8;
  if (row.precision == Precision::exact || !bf16_in_use()) return Arithmetic::f32;
  return row.rows < 64 ? Arithmetic::mixed : Arithmetic::bf16;
}

void product_row(benchmark::State& state, const Row& row) {
  const auto ops = make_cpu_ops(row.precision, bench_pool());
  const std::vector<Weight>& weights = weights_of(row.type);
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
  if (!(error <= (row.precision == Precision::exact ? 1e-6 : row.precision == Precision::int8 ? 2e-2 : 5e-3))) return state.SkipWithError("wrong result");
  std::size_t next = 0;
  measure(state,
          {.operations = 2.0 * static_cast<double>(row.rows * in * out),
           .arithmetic = arithmetic_of(row),
           .bytes = static_cast<double>(weights[0].bytes())},
          [&] { multiply(weights[next++ % matrices]); });
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
  measure(state, {.operations = 2.0 * static_cast<double>(rows * in * out), .kernel = "CUDA"}, multiply);
}

void register_rows(const SuiteOptions&) {
  for (const std::size_t rows : {64u, 512u}) {
    if (!cuda_missing().empty()) break;
    benchmark::RegisterBenchmark(("matmul/CUDA/F32/rows_" + std::to_string(rows)).c_str(), [rows](benchmark::State& state) { device_row(state, rows); })->UseRealTime();
  }
  for (const DType type : weight_types()) {
    for (const std::size_t rows : {1u, 4u, 8u, 64u, 512u}) {
      for (const Precision precision : precisions()) {
        const std::string name = "matmul/" + std::string(dtype_info(type).name) + "/rows_" + std::to_string(rows) + "/" + std::string(precision_name(precision));
        benchmark::RegisterBenchmark(name.c_str(), [row = Row{type, rows, precision}](benchmark::State& state) {
          product_row(state, row);
        })->UseRealTime();
      }
    }
  }
}

}  // namespace

const Suite& suite_matmul() {
  static const Suite suite{
      "matmul", "products of 1 to 512 rows with 1536 x 2048 weights of each type, weights from memory", register_rows};
  return suite;
}

}  // namespace vitrine
