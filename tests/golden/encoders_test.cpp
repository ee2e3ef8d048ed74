// Tiny random encoders and encoder-decoders against Hugging Face transformers, at every point by its hook name, and what is
// read off them. make_encoders.py, make_xlnet.py and make_encoder_decoders.py here made the models and the expected values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/decode/generation_defaults.h"
#include "core/model/forward.h"
#include "core/model/model.h"
#include "core/model/observer.h"
#include "core/model/probe_point.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

constexpr double tolerance = 1e-5;
constexpr double least_cosine = 0.999999;

using Values = std::map<std::string, std::vector<float>>;

struct Case {
  std::filesystem::path folder;
  std::string model;  // below the folder
  std::string kernel;
};
void PrintTo(const Case& tested, std::ostream* stream) { *stream << tested.folder.filename().string() << "/" << tested.model << " with " << tested.kernel; }

/// Every folder of a model, with every kernel that computes exact attention.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* group : {"encoders", "encoder_decoders"}) {
    const auto folder = std::filesystem::path(VITRINE_TEST_DATA) / "golden" / group;
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      for (const char* kernel : {"reference", "flash"}) all.push_back({entry.path(), "model", kernel});
      if (std::filesystem::exists(entry.path() / "model.gguf")) all.push_back({entry.path(), "model.gguf", "flash"});
    }
  }
  return all;
}

/// Every point that the model has, maps too, rows appended in their order.
class Collector : public Observer {
 public:
  Access access(const ProbePoint&) const override { return Access::read; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    EXPECT_EQ(rows.size(), values.extent(0)) << point_name(point);
    EXPECT_EQ(parse_point(point_name(point)).value_or(ProbePoint{}).site, point.site) << point_name(point);
    auto& target = seen[point_name(point)];
    for (std::size_t row = 0; row < values.extent(0); ++row) {
      for (std::size_t head = 0; head < values.extent(1); ++head) {
        for (std::size_t column = 0; column < values.extent(2); ++column) target.push_back(values(row, head, column));
      }
    }
  }
  Values seen;
};

struct Expected {
  std::map<std::string, std::vector<std::int32_t>> inputs;
  Values values;
};

Expected read_expected(const std::filesystem::path& path) {
  Expected expected;
  for (const NamedTensor& tensor : open_checkpoint(path).tensors) {
    const std::size_t count = tensor.weight.rows * tensor.weight.cols;
    const auto copy_to = [&](auto& target) {
      target.resize(count);
      std::memcpy(target.data(), tensor.weight.data, count * 4);
    };
    tensor.weight.type == DType::f32 ? copy_to(expected.values[tensor.name]) : copy_to(expected.inputs[tensor.name]);
  }
  return expected;
}

/// Numbers that are 0 or 1 as bits, [count, count].
BitView bits_of(const std::vector<std::int32_t>& numbers, std::size_t count, std::vector<std::uint64_t>& words) {
  const std::size_t row_words = BitView::words_of(count);
  words.assign(count * row_words, 0);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::size_t row = i / count, column = i % count;
    if (numbers[i] != 0) words[row * row_words + column / 64] |= std::uint64_t{1} << column % 64;
  }
  return {.words = words.data(), .rows = count, .columns = count, .row_words = row_words};
}

Values observe(const std::filesystem::path& path, const std::string& kernel_name, const Expected& expected) {
  const Model model = load_model(path);
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(kernel_name);
  Workspace workspace;
  Run run;
  Collector collector;
  Observer* observers[] = {&collector};
  const TapPlan taps(model.spec, observers);
  const ForwardContext context{model, *ops, kernel, workspace, run, taps};
  KvCache cache(model.spec, DType::f32), memory(model.spec, DType::f32, AttentionRole::cross);
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [](std::span<const RowRef>, TensorView<float, 2>) {};
  sinks.readout = [&](const Readout& readout) {
    auto& pooled = collector.seen["readout.pooled"];
    auto& labels = collector.seen["readout.labels"];
    pooled.insert(pooled.end(), readout.pooled.begin(), readout.pooled.end());
    labels.insert(labels.end(), readout.labels.begin(), readout.labels.end());
  };
  Segment segment{.ids = expected.inputs.at("input_ids")};
  if (expected.inputs.contains("token_types")) segment.types = expected.inputs.at("token_types");
  std::vector<std::uint64_t> words;
  if (expected.inputs.contains("allowed")) segment.allowed = bits_of(expected.inputs.at("allowed"), segment.ids.size(), words);
  std::vector<std::uint32_t> targets;
  if (expected.inputs.contains("targets")) targets.assign(expected.inputs.at("targets").begin(), expected.inputs.at("targets").end());
  segment.targets = targets;
  if (!model.spec.encoder.empty()) {
    segment.memory = &memory;
    encode(context, {&segment, 1}, {});
    segment.source = segment.ids;
    segment.ids = expected.inputs.at("decoder_input_ids");
  }
  if (model.spec.causal()) segment.cache = &cache;
  forward(context, {&segment, 1}, sinks);
  for (const ProbePoint& point : all_points(model.spec)) {
    if (point.stream == Stream::query && targets.empty()) continue;
    EXPECT_TRUE(collector.seen.contains(point_name(point))) << point_name(point) << " was never shown";
  }
  return std::move(collector.seen);
}

/// Relative error (Frobenius, finite entries) and cosine; places of -inf must coincide.
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

/// What a decoder makes of a source, greedily, as its generation_config.json says; the start before it, and how it ends.
std::vector<TokenId> generated(const std::filesystem::path& path, std::span<const TokenId> source, std::size_t most) {
  const Model model = load_model(path);
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel("flash");
  Workspace workspace;
  Run run;
  const TapPlan taps;
  const ForwardContext context{model, *ops, kernel, workspace, run, taps};
  KvCache cache(model.spec, DType::f32), memory(model.spec, DType::f32, AttentionRole::cross);
  const Segment segment{.ids = source, .memory = &memory};
  encode(context, {&segment, 1}, {});
  const GenerationDefaults defaults = read_generation_defaults(model);
  GenerateOptions options = following(defaults);
  options.max_tokens = most;
  for (const Strategy* strategy : all_strategies()) {
    if (strategy->name == "greedy") options.strategy = strategy;
  }
  std::vector<TokenId> ids{defaults.start.value()};
  for (const GeneratedToken& token : generate(context, {cache, &memory}, ids, options, {})) ids.push_back(token.id);
  return ids;
}

class GoldenEncoders : public testing::TestWithParam<Case> {};

TEST_P(GoldenEncoders, EqualTransformers) {
  const Expected expected = read_expected(GetParam().folder / "expected.safetensors");
  const Values seen = observe(GetParam().folder / GetParam().model, GetParam().kernel, expected);
  for (const auto& [name, values] : expected.values) {
    ASSERT_TRUE(seen.contains(name)) << name << " is none of this program's points";
    expect_close(name, seen.at(name), values);
  }
  const bool has_hooks = expected.values.size() > 2;
  for (const auto& [name, values] : seen) {
    const bool derived = name.ends_with("hook_threshold") || name.starts_with("readout.");
    if (has_hooks && !derived) {
      EXPECT_TRUE(expected.values.contains(name)) << name << " is shown, but transformers' value of it is not in the golden file";
    }
  }
}

class GoldenTexts : public testing::TestWithParam<Case> {};

TEST_P(GoldenTexts, EqualTransformers) {
  const Expected expected = read_expected(GetParam().folder / "expected.safetensors");
  std::vector<TokenId> reference = expected.inputs.at("generated");
  const std::size_t most = 12;
  const auto path = GetParam().folder / GetParam().model;
  const std::vector<TokenId> stop = read_generation_defaults(load_model(path)).stop;
  if (std::ranges::find(stop, reference.back()) != stop.end()) reference.pop_back();  // the end is no part of ours
  EXPECT_EQ(generated(path, expected.inputs.at("input_ids"), most), reference);
}

std::vector<Case> those_that_make_texts() {
  std::vector<Case> some = cases();
  std::erase_if(some, [](const Case& tested) {
    return tested.kernel != "flash" || !read_expected(tested.folder / "expected.safetensors").inputs.contains("generated");
  });
  return some;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenEncoders, testing::ValuesIn(cases()));
INSTANTIATE_TEST_SUITE_P(Models, GoldenTexts, testing::ValuesIn(those_that_make_texts()));

}  // namespace
}  // namespace vitrine
