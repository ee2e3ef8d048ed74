// Tiny random decoders against Hugging Face transformers, at every point by its hook name, in whatever pieces the text comes.
// make_decoders.py in this folder made the models and the expected values.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/model/forward.h"
#include "core/model/model.h"
#include "kernels/kernels.h"
#include "tests/golden/golden_values.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

/// Every folder of a model in both formats, with every given kernel.
std::vector<GoldenCase> cases(std::initializer_list<const char*> kernels) {
  std::vector<GoldenCase> all;
  for (const std::filesystem::path& folder : golden_folders("decoders")) {
    for (const char* model : {"model", "model.gguf"}) {
      if (!std::filesystem::exists(folder / model)) continue;
      for (const char* kernel : kernels) all.push_back({folder, model, kernel});
    }
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<GoldenCase>& tested) {
  return tested.param.folder.filename().string() + (tested.param.model == "model" ? "" : "_gguf") + "_" + tested.param.kernel;
}

struct Manner {
  std::size_t threads = 2, piece = 0;  // tokens given at once; 0 = all
  bool company = false;                // between two other sequences
  Access maps = Access::none;
};

Values observe(const Model& model, std::string_view kernel_name, std::span<const TokenId> ids, const Manner& manner) {
  ThreadPool pool(manner.threads, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(kernel_name);
  Workspace workspace;
  Run run;
  Collector collector(manner.maps);
  Observer* observers[] = {&collector};
  const TapPlan taps(model.spec, observers);
  KvCache cache(model.spec, DType::f32), before(model.spec, DType::f32), after(model.spec, DType::f32);
  ForwardSinks sinks{.logit_rows = LogitRows::all, .logits = [](std::span<const RowRef>, TensorView<float, 2>) {}};
  const std::size_t piece = manner.piece == 0 ? ids.size() : manner.piece;
  for (std::size_t done = 0; done < ids.size(); done += piece) {
    const Segment segments[] = {{.sequence = 1, .ids = ids.last(std::min<std::size_t>(3, ids.size())), .cache = &before},
                                {.sequence = 0, .ids = ids.subspan(done, std::min(piece, ids.size() - done)), .cache = &cache},
                                {.sequence = 2, .ids = ids.first(1), .cache = &after}};
    forward({model, *ops, kernel, workspace, run, taps}, manner.company ? std::span(segments) : std::span(segments).subspan(1, 1), sinks);
  }
  for (const ProbePoint& point : all_points(model.spec)) {
    if (manner.maps == Access::none && is_square(point.site)) continue;
    EXPECT_TRUE(collector.seen.contains(point_name(point))) << point_name(point) << " was never shown";
  }
  return std::move(collector.seen);
}

void expect_golden(const GoldenCase& tested) {
  const Expected expected = read_expected(tested.folder);
  ASSERT_FALSE(expected.ids().empty());
  const Model model = load_model(tested.folder / tested.model);
  Values seen = observe(model, tested.kernel, expected.ids(), {.maps = Access::read});
  std::erase_if(seen, [](const auto& point) { return point.first.ends_with("hook_threshold"); });  // exact attention has none
  for (const auto& [name, values] : seen) expect_equal_transformers(name, values, expected);
  for (const auto& [name, values] : expected.values) EXPECT_TRUE(seen.contains(name)) << name << " is expected, but was not shown";
}

class Decoders : public testing::TestWithParam<GoldenCase> {};

TEST_P(Decoders, EveryPointEqualsTransformers) { expect_golden(GetParam()); }

// A place of other models need not have all groups.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Decoders);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Pieces);
INSTANTIATE_TEST_SUITE_P(Models, Decoders, testing::ValuesIn(cases({"reference", "flash"})), name_of);

class Pieces : public testing::TestWithParam<GoldenCase> {};

// Token by token, in pieces, by one thread, between others: the same bits.
TEST_P(Pieces, DoNotMatter) {
  const GoldenCase& tested = GetParam();
  const Expected expected = read_expected(tested.folder);
  const Model model = load_model(tested.folder / tested.model);
  const bool by_length = std::ranges::any_of(model.spec.blocks, [&](const BlockSpec& block) {
    return !block.attention.rope_far_factors.empty() && expected.ids().size() > block.attention.rope_near;
  });
  const Values whole = observe(model, tested.kernel, expected.ids(), {});
  EXPECT_EQ(observe(model, tested.kernel, expected.ids(), {.threads = 1}), whole);
  EXPECT_EQ(observe(model, tested.kernel, expected.ids(), {.company = true}), whole);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}}) {
    if (by_length) {
      EXPECT_THROW(observe(model, tested.kernel, expected.ids(), {.piece = piece}), Error);
      continue;
    }
    EXPECT_EQ(observe(model, tested.kernel, expected.ids(), {.piece = piece}), whole) << piece;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Pieces, testing::ValuesIn(cases({"flash"})), name_of);

using DecodersSimd = EverySimdTarget;

TEST_P(DecodersSimd, EveryPointEqualsTransformers) {
  for (const GoldenCase& tested : cases({"flash"})) {
    SCOPED_TRACE(tested.folder.filename().string());
    if (tested.model == "model") expect_golden(tested);
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(DecodersSimd);

}  // namespace
}  // namespace vitrine
