#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/suite.h"
#include "core/base/half.h"
#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

namespace vitrine {
namespace {

struct Shape {
  const char* name;
  std::size_t heads, kv_heads, head_dim, q_len, kv_len;
  DType kv;
};

constexpr Shape shapes[] = {
    {"prefill_512", 9, 3, 64, 512, 512, DType::f32},          {"prefill_512_f16", 9, 3, 64, 512, 512, DType::f16},
    {"decode_at_1024", 9, 3, 64, 1, 1024, DType::f32},        {"decode_at_1024_f16", 9, 3, 64, 1, 1024, DType::f16},
    {"chunk_64_at_2048_f16", 9, 3, 64, 64, 2048, DType::f16}, {"prefill_512_int8", 9, 3, 64, 512, 512, DType::q8_0},
    {"decode_at_1024_int8", 9, 3, 64, 1, 1024, DType::q8_0},  {"decode_at_1024_int4", 9, 3, 64, 1, 1024, DType::q4_1},
};

/// Random factors and the outputs of one problem.
struct Data {
  Shape shape;
  Tensor q, k, v, out;

  explicit Data(const Shape& wanted)
      : shape(wanted),
        q(DType::f32, {wanted.q_len, wanted.heads * wanted.head_dim}),
        k(wanted.kv, {wanted.kv_len, wanted.kv_heads * wanted.head_dim}),
        v(wanted.kv, {wanted.kv_len, wanted.kv_heads * wanted.head_dim}),
        out(DType::f32, {wanted.q_len, wanted.heads * wanted.head_dim}) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (Tensor* tensor : {&q, &k, &v}) {
      std::vector<float> numbers(tensor->size());
      for (float& number : numbers) number = normal(random);
      dtype_info(tensor->type()).compress(numbers.data(), tensor->bytes().data(), numbers.size());
    }
  }

  KvView view(const Tensor& tensor) const {
    const auto bytes = static_cast<std::ptrdiff_t>(row_bytes(shape.kv, shape.head_dim));
    return {.type = shape.kv,
            .rows = tensor.bytes().data(),
            .row_bytes = bytes * static_cast<std::ptrdiff_t>(shape.kv_heads),
            .head_bytes = bytes,
            .kv_len = shape.kv_len,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim};
  }

  AttentionProblem problem() {
    AttentionProblem made{.q = {q.floats().data(), {shape.q_len, shape.heads, shape.head_dim}},
                          .k = view(k),
                          .v = view(v),
                          .out = {out.floats().data(), {shape.q_len, shape.heads, shape.head_dim}}};
    made.score.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    made.q_start = shape.kv_len - shape.q_len;
    return made;
  }
};

class Call {
 public:
  Call(const KernelChoice& choice, const AttentionProblem& problem) : choice_(choice), problem_(problem) {
    bytes_ = choice.kernel->scratch_bytes({&problem_, 1}, choice.options, bench_pool().threads());
    scratch_ = Tensor(DType::i8, {bytes_ + 64});
  }
  KernelReport operator()() {
    KernelReport report;
    choice_.kernel->run({{&problem_, 1}, choice_.options, bench_pool(), scratch_.bytes().first(bytes_), report});
    return report;
  }

 private:
  const KernelChoice& choice_;
  AttentionProblem problem_;
  std::size_t bytes_;
  Tensor scratch_;
};

/// Why the kernel may not be timed; empty where it agrees with `reference`.
std::string disagreement(const KernelChoice& choice, const Shape& shape) {
  Data data(shape), expected(shape);
  const KernelChoice reference = choose_attention_kernel("reference");
  Call(choice, data.problem())();
  AttentionProblem wanted = expected.problem();
  const auto score = narrowed(wanted.score, choice.kernel->rule(choice.options));
  if (!score) return "";  // no softmax: the tests compare it with the tiles that explain it
  wanted.score = *score;
  Call(reference, wanted)();
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < data.out.size(); ++i) {
    difference += std::pow(static_cast<double>(data.out.floats()[i]) - expected.out.floats()[i], 2);
    size += std::pow(static_cast<double>(expected.out.floats()[i]), 2);
  }
  const double error = std::sqrt(difference / size);
  return error <= static_cast<double>(choice.kernel->tolerance)
             ? ""
             : "relative error to reference " + std::to_string(error);
}

void attention_row(benchmark::State& state, const KernelChoice& choice, const Shape& shape) {
  const std::string reason = disagreement(choice, shape);
  if (!reason.empty()) return state.SkipWithError(reason.c_str());
  Data data(shape);
  Call call(choice, data.problem());
  for (auto _ : state) call();
  double visible = 0.0;
  for (std::size_t i = 0; i < shape.q_len; ++i) visible += static_cast<double>(shape.kv_len - shape.q_len + i + 1);
  const double operations = 4.0 * visible * static_cast<double>(shape.heads * shape.head_dim);  // scores and values
  const auto iterations = static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(operations * iterations, benchmark::Counter::kIsRate);
  state.counters["of_peak"] =
      benchmark::Counter(operations * iterations / machine_peak().flops, benchmark::Counter::kIsRate);
  const double cache_bytes = static_cast<double>(data.k.bytes().size() + data.v.bytes().size());
  state.counters["cache_bytes/s"] = benchmark::Counter(cache_bytes * iterations, benchmark::Counter::kIsRate);
}

/// Whether the kernel reads such a cache at all.
bool reads(const KernelChoice& choice, const Shape& shape) {
  const KvView view{.type = shape.kv, .kv_len = shape.kv_len, .kv_heads = shape.kv_heads, .head_dim = shape.head_dim};
  return choice.kernel->refuses({.q = {nullptr, {shape.q_len, shape.heads, shape.head_dim}}, .k = view, .v = view, .out = {}}, choice.options).empty();
}

}  // namespace

void register_attention_rows() {
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->name == "check") continue;  // two others in one
    for (const Shape& shape : shapes) {
      const std::string name = "attention/" + std::string(kernel->name) + "/" + shape.name;
      const KernelChoice choice = choose_attention_kernel(std::string(kernel->name) + ":" + std::string(kernel->example));
      if (!reads(choice, shape)) continue;
      benchmark::RegisterBenchmark(name.c_str(), [choice, &shape](benchmark::State& state) { attention_row(state, choice, shape); })->UseRealTime();
    }
  }
}

}  // namespace vitrine
