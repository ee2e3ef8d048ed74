// Tiny random encoders and encoder-decoders against Hugging Face transformers, at every point by its hook name, and what is
// read off them. make_encoders.py, make_xlnet.py and make_encoder_decoders.py here made the models and the expected values.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/decode/generation_defaults.h"
#include "core/decode/search.h"
#include "core/model/forward.h"
#include "core/model/model.h"
#include "kernels/kernels.h"
#include "tests/golden/golden_values.h"

namespace vitrine {
namespace {

/// Every folder of a model, with every kernel that computes exact attention.
std::vector<GoldenCase> cases() {
  std::vector<GoldenCase> all;
  for (const char* group : {"encoders", "encoder_decoders"}) {
    for (const std::filesystem::path& folder : golden_folders(group)) {
      for (const char* kernel : {"reference", "flash"}) all.push_back({folder, "model", kernel});
      if (std::filesystem::exists(folder / "model.gguf")) all.push_back({folder, "model.gguf", "flash"});
    }
  }
  return all;
}

/// Numbers that are 0 or 1 as bits, [count, count].
BitMatrix bits_of(std::span<const std::int32_t> numbers, std::size_t count) {
  BitMatrix bits(numbers.size() / count, count);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != 0) bits.set(i / count, i % count);
  }
  return bits;
}

/// A sequence of a batch, and what its segment points at.
struct Member {
  Member(const Model& model, const Expected& expected, std::uint32_t sequence)
      : cache(model.spec, DType::f32), memory(model.spec, DType::f32, AttentionRole::cross), allowed(0, 0) {
    segment.sequence = sequence;
    segment.ids = expected.ids();
    if (expected.inputs.contains("token_types")) segment.types = expected.inputs.at("token_types");
    if (expected.inputs.contains("allowed")) {
      allowed = bits_of(expected.inputs.at("allowed"), segment.ids.size());
      segment.allowed = allowed.view();
    }
    if (expected.inputs.contains("targets")) targets.assign(expected.inputs.at("targets").begin(), expected.inputs.at("targets").end());
    segment.targets = targets;
    if (model.spec.encoder.empty()) return;
    segment.memory = &memory;
    said = expected.inputs.at("decoder_input_ids");
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  KvCache cache, memory;
  BitMatrix allowed;
  std::vector<std::uint32_t> targets;
  std::span<const TokenId> said;  // by a decoder
  Segment segment;
};

/// The same inputs, but only the last `count` tokens of each text, in the order in which they are written.
Expected end_of(Expected inputs, std::size_t count) {
  for (auto& [name, numbers] : inputs.inputs) numbers.erase(numbers.begin(), numbers.end() - static_cast<std::ptrdiff_t>(std::min(count, numbers.size())));
  inputs.inputs.erase("allowed");
  if (const auto targets = inputs.inputs.find("targets"); targets != inputs.inputs.end()) targets->second = {0, static_cast<std::int32_t>(count) - 1};
  return inputs;
}

/// Points of the member that is sequence 0.
Values observe(const Model& model, const std::string& kernel_name, std::span<Member* const> members) {
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(kernel_name);
  Workspace workspace;
  Run run;
  Collector collector(Access::read);
  Observer* observers[] = {&collector};
  const TapPlan taps(model.spec, observers);
  const ForwardContext context{model, *ops, kernel, workspace, run, taps};
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [](std::span<const RowRef>, TensorView<float, 2>) {};
  sinks.readout = [&](const Readout& readout) {
    if (readout.sequence != 0) return;
    auto& pooled = collector.seen["readout.pooled"];
    auto& labels = collector.seen["readout.labels"];
    pooled.insert(pooled.end(), readout.pooled.begin(), readout.pooled.end());
    labels.insert(labels.end(), readout.labels.begin(), readout.labels.end());
  };
  std::vector<Segment> segments;
  for (const Member* member : members) segments.push_back(member->segment);
  if (!model.spec.encoder.empty()) {
    encode(context, segments, {});
    for (std::size_t m = 0; m < members.size(); ++m) {
      segments[m].source = std::exchange(segments[m].ids, members[m]->said);
      segments[m].cache = &members[m]->cache;
    }
  }
  forward(context, segments, sinks);
  for (const ProbePoint& point : all_points(model.spec)) {
    if (point.stream == Stream::query && std::ranges::all_of(members, [](const Member* member) { return member->targets.empty(); })) continue;
    EXPECT_TRUE(collector.seen.contains(point_name(point))) << point_name(point) << " was never shown";
  }
  return std::move(collector.seen);
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
  KvCache memory(model.spec, DType::f32, AttentionRole::cross);
  const Segment segment{.ids = source, .memory = &memory};
  encode(context, {&segment, 1}, {});
  const GenerationDefaults defaults = read_generation_defaults(model);
  const SamplerChain rules = make_chain(sampler_order(""), defaults.rules, {model.spec.vocabulary, nullptr, defaults.ends, most});
  std::vector<TokenId> ids{defaults.start.value()};
  const SearchProblem problem{.context = context, .kv_format = DType::f32, .source = &memory, .prompt = {ids.data(), 1}, .source_ids = source, .max_tokens = most,
                              .ends = defaults.ends, .samplers = rules, .values = defaults.rules};
  const GeneratedText made = search_named("greedy").run(problem).front();
  for (const GeneratedToken& token : made.tokens) ids.push_back(token.id);
  return ids;
}

class GoldenEncoders : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenEncoders, EqualTransformers) {
  const Expected expected = read_expected(GetParam().folder);
  const Model model = load_model(GetParam().folder / GetParam().model);
  Member only(model, expected, 0);
  Member* members[] = {&only};
  const Values seen = observe(model, GetParam().kernel, members);
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

/// A batch with shorter sequences around it does not change a bit.
TEST_P(GoldenEncoders, CompanyDoesNotMatter) {
  const Expected expected = read_expected(GetParam().folder), shorter = end_of(expected, 5), shortest = end_of(expected, 1);
  const Model model = load_model(GetParam().folder / GetParam().model);
  Member alone(model, expected, 0), between(model, expected, 0), before(model, shorter, 1), after(model, shortest, 2);
  Member *one[] = {&alone}, *three[] = {&before, &between, &after};
  EXPECT_EQ(observe(model, GetParam().kernel, three), observe(model, GetParam().kernel, one));
}

class GoldenTexts : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTexts, EqualTransformers) {
  const Expected expected = read_expected(GetParam().folder);
  std::vector<TokenId> reference = expected.inputs.at("generated");
  const std::size_t most = 12;
  const auto path = GetParam().folder / GetParam().model;
  const std::vector<TokenId> stop = read_generation_defaults(load_model(path)).ends;
  if (std::ranges::find(stop, reference.back()) != stop.end()) reference.pop_back();  // the end is no part of ours
  EXPECT_EQ(generated(path, expected.ids(), most), reference);
}

std::vector<GoldenCase> those_that_make_texts() {
  std::vector<GoldenCase> some = cases();
  std::erase_if(some, [](const GoldenCase& tested) {
    return tested.kernel != "flash" || !read_expected(tested.folder).inputs.contains("generated");
  });
  return some;
}

// A place of other models need not have all groups.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenEncoders);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTexts);
INSTANTIATE_TEST_SUITE_P(Models, GoldenEncoders, testing::ValuesIn(cases()));
INSTANTIATE_TEST_SUITE_P(Models, GoldenTexts, testing::ValuesIn(those_that_make_texts()));

}  // namespace
}  // namespace vitrine
