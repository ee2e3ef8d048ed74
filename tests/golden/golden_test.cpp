// Tiny random models against Hugging Face transformers, at every point by its hook name. make_models.py in this folder
// made the models and the expected values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <filesystem>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/model/forward.h"
#include "core/model/model.h"
#include "core/model/observer.h"
#include "core/model/probe_point.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

constexpr double tolerance = 1e-5;
// Distances of rounding between two f32 programs, not of mathematics; cosine hides scale, relative error does not.
constexpr double least_cosine = 0.999999;

using Values = std::map<std::string, std::vector<float>>;

struct Case {
  const char* folder;
  const char* model;  // below the folder
  const char* kernel;
};
void PrintTo(const Case& tested, std::ostream* stream) {
  *stream << tested.folder << "/" << tested.model << " with " << tested.kernel;
}

std::filesystem::path folder_of(const Case& tested) {
  return std::filesystem::path(VITRINE_TEST_DATA) / "golden" / tested.folder;
}

// Collects every point that the model has, rows appended in their order.
class Collector : public Observer {
 public:
  // Square points are not handed out by the forward pass: they are rebuilt from their factors below.
  Access access(const ProbePoint& point) const override {
    return is_square(point.site) ? Access::none : Access::read;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    auto& target = seen[point_name(point)];
    EXPECT_EQ(rows.size(), values.extent(0)) << point_name(point);
    for (std::size_t row = 0; row < values.extent(0); ++row) {
      for (std::size_t head = 0; head < values.extent(1); ++head) {
        for (std::size_t column = 0; column < values.extent(2); ++column) {
          target.push_back(values(row, head, column));
        }
      }
    }
  }
  Values seen;
};

struct Expected {
  std::vector<TokenId> ids;
  Values values;
};

Expected read_expected(const std::filesystem::path& path) {
  Expected expected;
  for (const NamedTensor& tensor : open_checkpoint(path).tensors) {
    const std::size_t count = tensor.weight.rows * tensor.weight.cols;
    if (tensor.name == "input_ids") {
      expected.ids.resize(count);
      std::memcpy(expected.ids.data(), tensor.weight.data, count * sizeof(TokenId));
    } else {
      auto& target = expected.values[tensor.name];
      target.resize(count);
      std::memcpy(target.data(), tensor.weight.data, count * sizeof(float));
    }
  }
  return expected;
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

Values observe(const std::filesystem::path& path, const char* kernel_name, std::span<const TokenId> ids) {
  const Model model = load_model(path);
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(kernel_name);
  Workspace workspace;
  Run run;
  Collector collector;
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

// Relative error (Frobenius, finite entries) and cosine; places of -inf must coincide.
void expect_close(const std::string& name, const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  double difference = 0, found_square = 0, expected_square = 0, product = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double a = found[i], b = expected[i];
    if (std::isinf(b) || std::isinf(a)) {
      ASSERT_EQ(a, b) << name << " at " << i;
      continue;
    }
    ASSERT_FALSE(std::isnan(a)) << name << " at " << i;
    difference += (a - b) * (a - b);
    found_square += a * a;
    expected_square += b * b;
    product += a * b;
  }
  ASSERT_GT(expected_square, 0) << name;
  EXPECT_LE(std::sqrt(difference / expected_square), tolerance) << name;
  EXPECT_GE(product / std::sqrt(found_square * expected_square), least_cosine) << name;
}

class Golden : public testing::TestWithParam<Case> {};

void expect_golden(const Case& tested) {
  const Expected expected = read_expected(folder_of(tested) / "expected.safetensors");
  ASSERT_FALSE(expected.ids.empty());
  const Values seen = observe(folder_of(tested) / tested.model, tested.kernel, expected.ids);
  EXPECT_FALSE(seen.empty());
  for (const auto& [name, values] : seen) {
    if (name.ends_with("hook_threshold")) {  // of exact attention, where every visible key counts
      for (const float threshold : values) EXPECT_EQ(threshold, -std::numeric_limits<float>::infinity());
      continue;
    }
    const auto reference = expected.values.find(name);
    if (reference == expected.values.end()) {
      ADD_FAILURE() << name << " is shown, but transformers' value of it is not in the golden file";
      continue;
    }
    expect_close(name, values, reference->second);
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
                         testing::Values(Case{"llama", "model", "reference"}, Case{"llama", "model", "online_softmax"},
                                         Case{"llama", "model.gguf", "reference"},
                                         Case{"llama_tied", "model", "reference"},
                                         Case{"llama_tied", "model.gguf", "online_softmax"}, Case{"llama_tied", "model", "flash"},
                                         Case{"llama", "model", "flash"}, Case{"gpt2", "model", "flash"}, Case{"bert", "model", "flash"},
                                         Case{"gpt2", "model", "reference"}, Case{"gpt2", "model", "online_softmax"},
                                         Case{"bert", "model", "reference"}, Case{"bert", "model", "online_softmax"}));

// The same weights through two formats: q and k rows were interleaved for GGUF and must come back in order.
TEST(GoldenFormats, GgufAndSafetensorsAgree) {
  const auto folder = std::filesystem::path(VITRINE_TEST_DATA) / "golden" / "llama";
  const Expected expected = read_expected(folder / "expected.safetensors");
  const Values gguf = observe(folder / "model.gguf", "reference", expected.ids);
  const Values safetensors = observe(folder / "model", "reference", expected.ids);
  ASSERT_EQ(gguf.size(), safetensors.size());
  for (const auto& [name, values] : safetensors) {
    ASSERT_TRUE(gguf.contains(name)) << name;
    EXPECT_EQ(gguf.at(name), values) << name;
  }
}

}  // namespace
}  // namespace vitrine
