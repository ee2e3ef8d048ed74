#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/suite.h"
#include "core/tensor/sparse_rows.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

constexpr std::size_t in = 1536, out = 2048, matrices = 24;  // together larger than the caches, as a model's are
constexpr DType types[] = {DType::f32, DType::f16, DType::bf16, DType::q8_0};

/// Which numbers are zero: a share of them at random, or two of every four.
struct Zeros {
  std::string name;
  double share = 0.0;
  bool two_of_four = false;
};

std::vector<Zeros> all_zeros() {
  std::vector<Zeros> all{{"2:4", 0.5, true}};
  for (const int percent : {0, 20, 30, 40, 50, 60, 70, 80, 90, 95}) all.push_back({"zeros_" + std::to_string(percent), percent / 100.0, false});
  return all;
}

Weight random_weight(DType type, const Zeros& zeros, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<float> numbers(out * in);
  for (float& number : numbers) number = !zeros.two_of_four && uniform(random) < zeros.share ? 0.0f : normal(random);
  for (std::size_t i = 0; zeros.two_of_four && i < numbers.size(); i += 4) {
    const std::size_t first = random() % 4;
    numbers[i + first] = numbers[i + (first + 1 + random() % 3) % 4] = 0.0f;
  }
  Tensor tensor(type, {out, in});
  dtype_info(type).compress(numbers.data(), tensor.bytes().data(), numbers.size());
  return make_weight(std::move(tensor));
}

/// The same numbers in both forms, so many times that they come from memory.
struct Pair {
  std::vector<Weight> dense, sparse;
};

/// Kept until another is asked for.
const Pair& weights_of(DType type, const Zeros& zeros) {
  static Pair pair;
  static std::string made;
  const std::string name = std::string(dtype_info(type).name) + zeros.name;
  if (made == name) return pair;
  pair = {};
  const Weight first = random_weight(type, zeros, 1);
  for (std::size_t i = 0; i < matrices; ++i) {
    Tensor copy(type, {out, in});
    std::memcpy(copy.bytes().data(), first.data, copy.bytes().size());
    pair.dense.push_back(make_weight(std::move(copy)));
    pair.sparse.push_back(make_sparse(first));
  }
  made = name;
  return pair;
}

void one_row(benchmark::State& state, DType type, const Zeros& zeros) {
  const auto ops = make_cpu_ops(Precision::fast, bench_pool());
  const Pair& weights = weights_of(type, zeros);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(in), result(out), expected(out);
  for (float& number : x) number = normal(random);
  const auto multiply = [&](const Weight& weight, std::vector<float>& to) {
    const Product product{&weight, nullptr, {to.data(), {1, out}}};
    ops->multiply({x.data(), {1, in}}, {&product, 1});
  };
  multiply(weights.sparse[0], result);
  multiply(weights.dense[0], expected);
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < out; ++i) {
    difference += std::pow(static_cast<double>(result[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  if (!(difference <= 1e-8 * size)) return state.SkipWithError("wrong result");
  std::size_t next = 0;
  const double bytes = static_cast<double>(stored_bytes(weights.sparse[0]));
  state.counters["of_dense_time"] = measure_beside(
      state, {.operations = 2.0 * in * out * (1.0 - zeros.share), .arithmetic = Arithmetic::mixed, .bytes = bytes},
      [&] { multiply(weights.sparse[next++ % matrices], result); }, [&] { multiply(weights.dense[next % matrices], expected); });
  state.counters["of_dense_bytes"] = bytes / static_cast<double>(weights.dense[0].bytes());
}

void register_rows(const SuiteOptions&) {
  for (const DType type : types) {
    for (const Zeros& zeros : all_zeros()) {
      const std::string name = "sparse/" + std::string(dtype_info(type).name) + "/" + zeros.name;
      benchmark::RegisterBenchmark(name.c_str(), [type, zeros](benchmark::State& state) { one_row(state, type, zeros); })->UseManualTime();
    }
  }
}

}  // namespace

const Suite& suite_sparse() {
  static const Suite suite{"sparse", "products of one row with 2048 x 1536 weights without their zeros, each call beside the dense one: they cross where of_dense_time is 1", register_rows};
  return suite;
}

}  // namespace vitrine
