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
};

constexpr Case cases[] = {
    {"causal_512", {9, 9, 64, 512, 512, DType::f32}},        {"causal_512_f16", {9, 9, 64, 512, 512, DType::f16}},
    {"causal_2048", {9, 9, 64, 2048, 2048, DType::f32}},     {"causal_2048_f16", {9, 9, 64, 2048, 2048, DType::f16}},
    {"causal_4096", {9, 9, 64, 4096, 4096, DType::f32}},     {"causal_4096_f16", {9, 9, 64, 4096, 4096, DType::f16}},
    {"grouped_512", {9, 3, 64, 512, 512, DType::f32}},       {"grouped_512_f16", {9, 3, 64, 512, 512, DType::f16}},
    {"chunk_64_at_2048_f16", {9, 3, 64, 64, 2048, DType::f16}},
    {"decode_at_1024", {9, 3, 64, 1, 1024, DType::f32}},     {"decode_at_1024_f16", {9, 3, 64, 1, 1024, DType::f16}},
    {"decode_at_4096", {9, 3, 64, 1, 4096, DType::f32}},     {"decode_at_4096_f16", {9, 3, 64, 1, 4096, DType::f16}},
};

AttentionSample& sample_of(const Case& wanted) {
  static std::map<const Case*, std::unique_ptr<AttentionSample>> samples;
  auto& sample = samples[&wanted];
  if (!sample) sample = std::make_unique<AttentionSample>(wanted.shape);
  return *sample;
}

/// Why what a kernel made may not be timed; empty where a dozen rows of it agree with `reference`.
std::string disagreement(const KernelChoice& choice, const AttentionSample& sample) {
  constexpr std::size_t checked = 12;
  const KernelChoice reference = choose_attention_kernel("reference");
  const AttentionShape& shape = sample.shape();
  const std::size_t width = shape.heads * shape.head_dim, last = shape.q_len - 1;
  std::vector<float> expected(width);
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < std::min(checked, shape.q_len); ++i) {
    const std::size_t row = shape.q_len <= checked ? i : i * last / (checked - 1);
    AttentionProblem wanted = sample.rows(row, 1, expected.data());
    const auto score = narrowed(wanted.score, choice.kernel->rule(choice.options));
    if (!score) return "";  // no softmax: the tests compare it with the tiles that explain it
    wanted.score = *score;
    AttentionRun(reference, wanted, bench_pool())();
    for (std::size_t c = 0; c < width; ++c) {
      difference += std::pow(static_cast<double>(sample.out()[row * width + c]) - expected[c], 2);
      size += std::pow(static_cast<double>(expected[c]), 2);
    }
  }
  const double error = std::sqrt(difference / size);
  return error <= static_cast<double>(choice.kernel->tolerance) ? "" : "relative error to reference " + std::to_string(error);
}

void attention_row(benchmark::State& state, const KernelChoice& choice, const Case& wanted) {
  AttentionSample& sample = sample_of(wanted);
  const AttentionProblem problem = sample.problem();
  if (const std::string reason = choice.kernel->refuses(problem, choice.options); !reason.empty()) {
    return state.SkipWithError(reason.c_str());
  }
  AttentionRun call(choice, problem, bench_pool());
  call();
  if (const std::string reason = disagreement(choice, sample); !reason.empty()) return state.SkipWithError(reason.c_str());
  Work work{.operations = useful_operations(wanted.shape), .kernel = choice.spelled};
  if (wanted.shape.q_len < wanted.shape.kv_len) work.cached_bytes = static_cast<double>(sample.cache_bytes());
  measure(state, work, [&] { call(); });
}

void register_rows(const SuiteOptions&) {
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->name == "check") continue;  // two others in one
    for (const Case& wanted : cases) {
      // The definition in doubles would take ten seconds a call.
      if (kernel->name == "reference" && wanted.shape.q_len > 512) continue;
      const std::string options = kernel->example.empty() ? "" : ":" + std::string(kernel->example);
      const std::string spelled = std::string(kernel->name) + options;
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
