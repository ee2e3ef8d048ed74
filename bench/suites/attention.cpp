#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/suite.h"
#include "kernels/attention_sample.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

namespace vitrine {
namespace {

struct Case {
  const char* name;
  AttentionShape shape;
  SampleTerms terms = SampleTerms::none;
};

constexpr Case cases[] = {
    {"causal_512", {9, 9, 64, 512, 512, DType::f32}},        {"causal_512_f16", {9, 9, 64, 512, 512, DType::f16}},
    {"causal_2048", {9, 9, 64, 2048, 2048, DType::f32}},     {"causal_2048_f16", {9, 9, 64, 2048, 2048, DType::f16}},
    {"causal_4096", {9, 9, 64, 4096, 4096, DType::f32}},     {"causal_4096_f16", {9, 9, 64, 4096, 4096, DType::f16}},
    {"grouped_512", {9, 3, 64, 512, 512, DType::f32}},       {"grouped_512_f16", {9, 3, 64, 512, 512, DType::f16}},
    {"chunk_64_at_2048_f16", {9, 3, 64, 64, 2048, DType::f16}},
    {"decode_at_1024", {9, 3, 64, 1, 1024, DType::f32}},     {"decode_at_1024_f16", {9, 3, 64, 1, 1024, DType::f16}},
    {"grouped_512_int8", {9, 3, 64, 512, 512, DType::q8_0}}, {"decode_at_1024_int8", {9, 3, 64, 1, 1024, DType::q8_0}},
    {"decode_at_1024_int4", {9, 3, 64, 1, 1024, DType::q4_1}},
    {"decode_at_4096", {9, 3, 64, 1, 4096, DType::f32}},     {"decode_at_4096_f16", {9, 3, 64, 1, 4096, DType::f16}},
    {"causal_512_slopes", {9, 9, 64, 512, 512, DType::f32}, SampleTerms::slopes},
    {"causal_512_table", {9, 9, 64, 512, 512, DType::f32}, SampleTerms::table},
    {"causal_512_allowed", {9, 9, 64, 512, 512, DType::f32}, SampleTerms::allowed},
    {"causal_512_positions", {9, 9, 64, 512, 512, DType::f32}, SampleTerms::positions},
    {"decode_at_4096_f16_slopes", {9, 3, 64, 1, 4096, DType::f16}, SampleTerms::slopes},
    {"decode_at_4096_f16_allowed", {9, 3, 64, 1, 4096, DType::f16}, SampleTerms::allowed},
};

AttentionSample& sample_of(const Case& wanted) {
  static std::map<const Case*, std::unique_ptr<AttentionSample>> samples;
  auto& sample = samples[&wanted];
  if (!sample) sample = std::make_unique<AttentionSample>(wanted.shape, wanted.terms);
  return *sample;
}

/// What the tiles that explain the kernel give for one row of its outputs, from the normalizer and threshold that it left.
std::vector<float> rebuilt_row(const AttentionSample& sample, const AttentionProblem& problem, const PatternRule& rule, std::size_t row) {
  const AttentionShape& shape = sample.shape();
  const std::size_t dim = shape.head_dim;
  std::vector<float> out, weights(shape.kv_len);
  for (std::size_t head = 0; head < shape.heads; ++head) {
    const std::size_t kv_head = head / (shape.heads / shape.kv_heads);
    const std::vector<float> k = sample.keys(kv_head), v = sample.values(kv_head);
    const float normalizer = problem.normalizer(row, head), threshold = problem.threshold(row, head);
    pattern_tile({.q = {&problem.q(row, head, 0), {1, dim}}, .k = {k.data(), {shape.kv_len, dim}}, .normalizer = {&normalizer, 1},
                  .score = problem.score.of_rows(row, 1), .rule = rule, .q_start = problem.q_start + row, .threshold = {&threshold, 1}, .head = head},
                 0, 0, {weights.data(), {1, shape.kv_len}});
    std::vector<double> sums(dim);
    for (std::size_t j = 0; j < shape.kv_len; ++j) {
      for (std::size_t d = 0; d < dim; ++d) sums[d] += static_cast<double>(weights[j]) * v[j * dim + d];
    }
    out.insert(out.end(), sums.begin(), sums.end());
  }
  return out;
}

/// One row by `reference`, where the rule is a softmax over a window, else by the tiles that explain the kernel.
std::vector<float> expected_row(const AttentionSample& sample, const AttentionProblem& problem, const PatternRule& rule, std::size_t row) {
  std::vector<float> expected(sample.shape().heads * sample.shape().head_dim);
  AttentionProblem wanted = sample.rows(row, 1, expected.data());
  const auto score = narrowed(wanted.score, rule);
  if (!score) return rebuilt_row(sample, problem, rule, row);
  wanted.score = *score;
  AttentionRun(choose_attention_kernel("reference"), wanted, bench_pool())();
  return expected;
}

/// Why what a kernel made may not be timed; empty where a dozen rows of it are right.
std::string disagreement(const KernelChoice& choice, const AttentionSample& sample, const AttentionProblem& problem, const PatternRule& rule) {
  constexpr std::size_t checked = 12;
  const std::size_t last = sample.shape().q_len - 1;
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < std::min(checked, last + 1); ++i) {
    const std::size_t row = last < checked ? i : i * last / (checked - 1);
    const std::vector<float> expected = expected_row(sample, problem, rule, row);
    for (std::size_t c = 0; c < expected.size(); ++c) {
      difference += std::pow(static_cast<double>(sample.out()[row * expected.size() + c]) - expected[c], 2);
      size += std::pow(static_cast<double>(expected[c]), 2);
    }
  }
  const double error = std::sqrt(difference / size);
  return error <= static_cast<double>(choice.kernel->tolerance) ? "" : "relative error " + std::to_string(error);
}

/// Of the keys that a causal mask leaves, the part that the rule leaves too.
double seen_part(const AttentionProblem& problem, const PatternRule& rule) {
  if (narrowed(problem.score, rule) && rule.window == 0) return 1.0;
  double seen = 0.0, all = 0.0;
  for (std::size_t i = 0; i < problem.q.extent(0); ++i) {
    const RowMask mask(problem.score, rule, problem.q_start, i, problem.k.kv_len);
    for (std::size_t j = 0; j <= problem.q_start + i; ++j, ++all) seen += mask.sees(j) ? 1.0 : 0.0;
  }
  return seen / all;
}

void attention_row(benchmark::State& state, const KernelChoice& choice, const Case& wanted) {
  AttentionSample& sample = sample_of(wanted);
  const PatternRule rule = choice.kernel->rule(choice.options).in_layer(0);
  AttentionProblem problem = sample.problem(rule);
  if (const std::string reason = choice.kernel->refuses(problem, choice.options); !reason.empty()) {
    return state.SkipWithError(("expected " + reason).c_str());
  }
  AttentionRun(choice, problem, bench_pool())();
  if (const std::string reason = disagreement(choice, sample, problem, rule); !reason.empty()) return state.SkipWithError(reason.c_str());
  Work work{.operations = useful_operations(wanted.shape) * seen_part(problem, rule), .kernel = choice.spelled};
  if (wanted.shape.q_len < wanted.shape.kv_len) work.cached_bytes = static_cast<double>(sample.cache_bytes());
  problem.normalizer = {};  // timed as the model runs it when nobody looks
  if (rule.kind != PatternKind::softmax_top_k) problem.threshold = {};
  AttentionRun call(choice, problem, bench_pool());
  measure(state, work, [&] { call(); });
}

/// Whether the kernel reads such a cache, and knows such scores, at all.
bool does(const KernelChoice& choice, const Case& wanted) {
  AttentionSample small({wanted.shape.heads, wanted.shape.kv_heads, wanted.shape.head_dim, 1, 1, wanted.shape.kv}, wanted.terms);
  return choice.kernel->refuses(small.problem(choice.kernel->rule(choice.options)), choice.options).empty();
}

void register_rows(const SuiteOptions&) {
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->name == "check") continue;  // two others in one
    if (kernel->device == "cuda" && !cuda_missing().empty()) continue;
    for (const Case& wanted : cases) {
      // The definition in doubles would take ten seconds a call.
      if (kernel->name == "reference" && wanted.shape.q_len > 512) continue;
      const std::string options = kernel->example.empty() ? "" : ":" + std::string(kernel->example);
      const std::string spelled = std::string(kernel->name) + options;
      const bool special = dtype_info(wanted.shape.kv).quantized || wanted.terms != SampleTerms::none;
      if (special && !does(choose_attention_kernel(spelled), wanted)) continue;
      const std::string name = "attention/" + std::string(kernel->name) + "/" + wanted.name;
      benchmark::RegisterBenchmark(name.c_str(), [spelled, &wanted](benchmark::State& state) {
        attention_row(state, choose_attention_kernel(spelled), wanted);
      })->UseRealTime();
    }
  }
}

}  // namespace

const Suite& suite_attention() {
  static const Suite suite{"attention", "every kernel: prompts, chunks and single queries, f32 and f16 keys and values", register_rows};
  return suite;
}

}  // namespace vitrine
