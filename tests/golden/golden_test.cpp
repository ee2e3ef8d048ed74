// Tiny random models against Hugging Face transformers, at every point by its hook name. make_models.py in this folder
// made the models and the expected values.
#include <gtest/gtest.h>

#include <limits>
#include <filesystem>
#include <string>
#include <vector>

#include "core/model/forward.h"
#include "core/model/model.h"
#include "core/model/probe_point.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"
#include "tests/golden/golden_values.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

std::filesystem::path folder_of(const GoldenCase& tested) {
  return std::filesystem::path(VITRINE_TEST_DATA) / "golden" / tested.folder;
}

// Scores and pattern of every head of a block, [pos, heads, pos], from the factors that were observed.
void rebuild_square(const ModelSpec& spec, const KernelChoice& kernel, int block, Values& seen) {
  const AttentionSpec& attention = spec.blocks[static_cast<std::size_t>(block)].attention;
  const auto named = [&](Site site) -> std::vector<float>& { return seen[point_name({.block = block, .site = site})]; };
  const std::vector<float>&q = named(Site::rot_q), &k = named(Site::rot_k), &sums = named(Site::normalizer);
  const std::size_t heads = attention.heads, d = attention.head_dim, length = q.size() / (heads * d);
  std::vector<float>&pattern = named(Site::pattern), &scores = named(Site::attn_scores);
  pattern.resize(length * heads * length);
  scores.resize(pattern.size());
  for (std::size_t head = 0; head < heads; ++head) {
    const std::size_t kv_head = head / (heads / attention.kv_heads);
    std::vector<float> normalizer(length);
    for (std::size_t row = 0; row < length; ++row) normalizer[row] = sums[row * heads + head];
    const PatternFactors factors{
        .q = {q.data() + head * d, {length, d}, {heads * d, 1}},
        .k = {k.data() + kv_head * d, {length, d}, {attention.kv_heads * d, 1}},
        .normalizer = normalizer,
        .score = {.scale = attention.scale, .soft_cap = attention.soft_cap, .mask = attention.mask,
                  .window = attention.window},
        .rule = kernel.kernel->rule(kernel.options)};
    pattern_tile(factors, 0, 0, {pattern.data() + head * length, {length, length}, {heads * length, 1}});
    score_tile(factors, 0, 0, {scores.data() + head * length, {length, length}, {heads * length, 1}});
  }
}

Values observe(const std::filesystem::path& path, std::string_view kernel_name, std::span<const TokenId> ids) {
  const Model model = load_model(path);
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(kernel_name);
  Workspace workspace;
  Run run;
  Collector collector(Access::none);  // maps are rebuilt from their factors below
  Observer* observers[] = {&collector};
  const TapPlan taps(model.spec, observers);
  KvCache cache(model.spec, DType::f32);
  const bool causal = model.spec.causal();
  const Segment segments[] = {{.sequence = 0, .ids = ids, .cache = causal ? &cache : nullptr}};
  ForwardSinks sinks;
  if (model.spec.has_head) sinks.logit_rows = LogitRows::all;
  sinks.logits = [](std::span<const RowRef>, TensorView<float, 2>) {};
  forward({model, *ops, kernel, workspace, run, taps}, segments, sinks);
  for (std::size_t block = 0; block < model.spec.blocks.size(); ++block) {
    rebuild_square(model.spec, kernel, static_cast<int>(block), collector.seen);
  }
  // A point without shape is none that the model has; each of the others must have been shown.
  for (const ProbePoint& point : all_points(model.spec)) {
    EXPECT_TRUE(collector.seen.contains(point_name(point))) << point_name(point) << " was never shown";
  }
  return std::move(collector.seen);
}

class Golden : public testing::TestWithParam<GoldenCase> {};

void expect_golden(const GoldenCase& tested) {
  const Expected expected = read_expected(folder_of(tested));
  ASSERT_FALSE(expected.ids().empty());
  const Values seen = observe(folder_of(tested) / tested.model, tested.kernel, expected.ids());
  EXPECT_FALSE(seen.empty());
  for (const auto& [name, values] : seen) {
    if (name.ends_with("hook_threshold")) {  // of exact attention, where every visible key counts
      for (const float threshold : values) EXPECT_EQ(threshold, -std::numeric_limits<float>::infinity());
      continue;
    }
    expect_equal_transformers(name, values, expected);
  }
}

TEST_P(Golden, EveryPointEqualsTransformers) { expect_golden(GetParam()); }

using GoldenSimd = EverySimdTarget;

TEST_P(GoldenSimd, EveryPointEqualsTransformers) {
  for (const char* folder : {"llama", "llama_tied", "gpt2", "bert"}) {
    SCOPED_TRACE(folder);
    expect_golden({folder, "model", "flash"});
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(GoldenSimd);

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values(GoldenCase{"llama", "model", "reference"}, GoldenCase{"llama", "model", "online_softmax"},
                                         GoldenCase{"llama", "model.gguf", "reference"},
                                         GoldenCase{"llama_tied", "model", "reference"},
                                         GoldenCase{"llama_tied", "model.gguf", "online_softmax"}, GoldenCase{"llama_tied", "model", "flash"},
                                         GoldenCase{"llama", "model", "flash"}, GoldenCase{"gpt2", "model", "flash"}, GoldenCase{"bert", "model", "flash"},
                                         GoldenCase{"gpt2", "model", "reference"}, GoldenCase{"gpt2", "model", "online_softmax"},
                                         GoldenCase{"bert", "model", "reference"}, GoldenCase{"bert", "model", "online_softmax"}));

// The same weights through two formats: q and k rows were interleaved for GGUF and must come back in order.
TEST(GoldenFormats, GgufAndSafetensorsAgree) {
  const auto folder = std::filesystem::path(VITRINE_TEST_DATA) / "golden" / "llama";
  const Expected expected = read_expected(folder);
  const Values gguf = observe(folder / "model.gguf", "reference", expected.ids());
  const Values safetensors = observe(folder / "model", "reference", expected.ids());
  ASSERT_EQ(gguf.size(), safetensors.size());
  for (const auto& [name, values] : safetensors) {
    ASSERT_TRUE(gguf.contains(name)) << name;
    EXPECT_EQ(gguf.at(name), values) << name;
  }
}

}  // namespace
}  // namespace vitrine
