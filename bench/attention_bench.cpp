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
    {"chunk_64_at_2048_f16", 9, 3, 64, 64, 2048, DType::f16},
};

/// Random factors and the outputs of one problem.
struct Data {
  Shape shape;
  Tensor q, k, v, out, normalizer, threshold, additive;

  explicit Data(const Shape& wanted)
      : shape(wanted),
        q(DType::f32, {wanted.q_len, wanted.heads * wanted.head_dim}),
        k(wanted.kv, {wanted.kv_len, wanted.kv_heads * wanted.head_dim}),
        v(wanted.kv, {wanted.kv_len, wanted.kv_heads * wanted.head_dim}),
        out(DType::f32, {wanted.q_len, wanted.heads * wanted.head_dim}),
        normalizer(DType::f32, {wanted.q_len, wanted.heads}),
        threshold(DType::f32, {wanted.q_len, wanted.heads}),
        additive(DType::f32, {wanted.head_dim}) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (Tensor* tensor : {&q, &k, &v, &additive}) {
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

  AttentionProblem problem(const PatternRule& rule) {
    AttentionProblem made{.q = {q.floats().data(), {shape.q_len, shape.heads, shape.head_dim}},
                          .k = view(k),
                          .v = view(v),
                          .out = {out.floats().data(), {shape.q_len, shape.heads, shape.head_dim}}};
    made.score.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    made.q_start = shape.kv_len - shape.q_len;
    if (rule.kind == PatternKind::additive) made.score.additive = additive.floats();
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

/// What the tiles that explain the kernel give for its outputs, from the normalizers and thresholds that it left.
std::vector<float> rebuilt(const Data& data, const AttentionProblem& problem, const PatternRule& rule) {
  const auto [name, heads, kv_heads, dim, q_len, kv_len, kv] = data.shape;
  std::vector<float> k(data.k.size()), v(data.v.size()), tile(q_len * kv_len), out(data.out.size());
  dtype_info(kv).expand(data.k.bytes().data(), k.data(), k.size());
  dtype_info(kv).expand(data.v.bytes().data(), v.data(), v.size());
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t kv_head = h / (heads / kv_heads);
    std::vector<float> normalizer(q_len), threshold(q_len);
    for (std::size_t i = 0; i < q_len; ++i) normalizer[i] = problem.normalizer(i, h), threshold[i] = problem.threshold(i, h);
    const PatternFactors factors{.q = {&problem.q(0, h, 0), {q_len, dim}, {heads * dim, 1}}, .k = {k.data() + kv_head * dim, {kv_len, dim}, {kv_heads * dim, 1}},
                                 .normalizer = normalizer, .score = problem.score, .rule = rule, .q_start = problem.q_start, .threshold = threshold};
    pattern_tile(factors, 0, 0, {tile.data(), {q_len, kv_len}});
    for (std::size_t i = 0; i < q_len; ++i) {
      for (std::size_t j = 0; j < kv_len; ++j) {
        const float weight = tile[i * kv_len + j];
        for (std::size_t d = 0; d < dim && weight > 0.0f; ++d) out[(i * heads + h) * dim + d] += weight * v[(j * kv_heads + kv_head) * dim + d];
      }
    }
  }
  return out;
}

double relative_error(std::span<const float> values, std::span<const float> expected) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    difference += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

/// Why the kernel may not be timed; empty where it agrees with `reference`, or where its rule is no softmax over a window with
/// the tiles that explain it.
std::string disagreement(const KernelChoice& choice, const Shape& shape) {
  const PatternRule rule = choice.kernel->rule(choice.options).in_layer(0);
  Data data(shape), expected(shape);
  AttentionProblem problem = data.problem(rule), wanted = expected.problem(rule);
  const std::string reason = choice.kernel->refuses(problem, choice.options);
  if (!reason.empty()) return "expected " + reason;
  problem.normalizer = {data.normalizer.floats().data(), {shape.q_len, shape.heads}};
  problem.threshold = {data.threshold.floats().data(), {shape.q_len, shape.heads}};
  Call(choice, problem)();
  double error = 0.0;
  if (const auto score = narrowed(wanted.score, rule)) {
    wanted.score = *score;
    const KernelChoice reference = choose_attention_kernel("reference");
    Call(reference, wanted)();
    error = relative_error(data.out.floats(), expected.out.floats());
  } else {
    error = relative_error(data.out.floats(), rebuilt(data, problem, rule));
  }
  return error <= static_cast<double>(choice.kernel->tolerance) ? "" : "relative error " + std::to_string(error);
}

/// How many keys the queries see, all together.
double visible_pairs(const AttentionProblem& problem, const PatternRule& rule) {
  double count = 0.0;
  for (std::size_t i = 0; i < problem.q.extent(0); ++i) {
    const RowMask mask(problem.score, rule, problem.q_start + i, problem.k.kv_len);
    for (std::size_t j = 0; j < problem.k.kv_len; ++j) count += mask.sees(j) ? 1.0 : 0.0;
  }
  return count;
}

void attention_row(benchmark::State& state, const KernelChoice& choice, const Shape& shape) {
  const std::string reason = disagreement(choice, shape);
  if (!reason.empty()) return state.SkipWithError(reason.c_str());
  Data data(shape);
  const PatternRule rule = choice.kernel->rule(choice.options).in_layer(0);
  const AttentionProblem problem = data.problem(rule);
  Call call(choice, problem);
  for (auto _ : state) call();
  const double operations = 4.0 * visible_pairs(problem, rule) * static_cast<double>(shape.heads * shape.head_dim);  // scores and values
  const auto iterations = static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(operations * iterations, benchmark::Counter::kIsRate);
  state.counters["of_peak"] =
      benchmark::Counter(operations * iterations / machine_peak().flops, benchmark::Counter::kIsRate);
  const double cache_bytes = static_cast<double>(data.k.bytes().size() + data.v.bytes().size());
  state.counters["cache_bytes/s"] = benchmark::Counter(cache_bytes * iterations, benchmark::Counter::kIsRate);
}

}  // namespace

void register_attention_rows() {
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->name == "check") continue;  // two others in one
    for (const Shape& shape : shapes) {
      const std::string name = "attention/" + std::string(kernel->name) + "/" + shape.name;
      benchmark::RegisterBenchmark(name.c_str(), [kernel, &shape](benchmark::State& state) {
        attention_row(state, choose_attention_kernel(std::string(kernel->name) + ":" + std::string(kernel->example)), shape);
      })->UseRealTime();
    }
  }
}

}  // namespace vitrine
