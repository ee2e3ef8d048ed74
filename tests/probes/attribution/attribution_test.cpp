// Scores that must add up, published numbers of a small network, and what methods have in common.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "core/base/error.h"
#include "core/model/model.h"
#include "kernels/kernels.h"
#include "probes/attribution/attribution.h"
#include "probes/patching/attribution_patching.h"

namespace vitrine {
namespace {

double sum_of(std::span<const double> numbers) { return std::accumulate(numbers.begin(), numbers.end(), 0.0); }

TEST(GaussLegendre, IsExactForPolynomials) {
  for (const std::size_t count : {1u, 2u, 5u, 50u}) {
    const std::vector<QuadraturePoint> points = gauss_legendre(count);
    ASSERT_EQ(points.size(), count);
    for (std::size_t power = 0; power < 2 * count; ++power) {
      double sum = 0.0;
      for (const QuadraturePoint& point : points) sum += point.weight * std::pow(point.place, static_cast<double>(power));
      EXPECT_NEAR(sum, 1.0 / static_cast<double>(power + 1), 1e-12) << count << " " << power;
    }
  }
}

/// The toy network of captum's README: relu(x W1^T) W2^T + 1, output 0 of two rows; its integrated gradients are printed there.
TEST(IntegratedGradients, EqualThePublishedToy) {
  Tensor first(DType::f32, {3, 3}), second(DType::f32, {2, 3}), ones(DType::f32, {2});
  std::iota(first.floats().begin(), first.floats().end(), -4.0f);
  std::iota(second.floats().begin(), second.floats().end(), -3.0f);
  std::ranges::fill(ones.floats(), 1.0f);
  const Weight w1 = make_weight(std::move(first)), w2 = make_weight(std::move(second)), bias = make_weight(std::move(ones));
  const Numbers x{2, 3, {0.296111941f, 0.516562283f, 0.251670718f, 0.68855679f, 0.0739724636f, 0.866521955f}}, zero{2, 3, std::vector<float>(6, 0.0f)};
  const std::vector<double> expected{-0.5922, -1.5497, -1.0067, 0.0, -0.2219, -5.1991};
  ThreadPool pool(1, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  vitrine::Run run;
  std::vector<double> scores(6, 0.0);
  for (const QuadraturePoint& point : gauss_legendre(50)) {
    Numbers input = between(x, zero, point.place), hidden{2, 3, std::vector<float>(6)}, out{2, 2, std::vector<float>(4)};
    Tape tape;
    TapeOps taped(*ops, tape);
    taped.read(input.view(), [&](TensorView<const float, 2> flow) {
      for (std::size_t i = 0; i < 6; ++i) scores[i] += point.weight * x.data[i] * flow.data()[i];
    });
    const Product to_hidden[] = {{&w1, nullptr, hidden.view()}}, to_out[] = {{&w2, &bias, out.view()}};
    taped.multiply(input.view(), to_hidden);
    taped.activate(Activation::relu, hidden.view(), {}, hidden.view());
    taped.multiply(hidden.view(), to_out);
    taped.seed(out.view(), {2, 2, {1.0f, 0.0f, 1.0f, 0.0f}});
    tape.pull_back(tape, run);
  }
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(scores[i], expected[i], 6e-5) << i;
}

class Attributions : public testing::TestWithParam<const char*> {
 protected:
  AttributionResult run(std::string_view method, const AttributionOptions& options = {}) { return attribute(find_attribution(method), {runner, question, options}); }

  const Model model = load_model(std::filesystem::path(VITRINE_TEST_DATA) / "golden" / GetParam() / "model");
  ThreadPool pool{2, initialize_worker};
  std::unique_ptr<Ops> ops = make_cpu_ops(Precision::exact, pool);
  KernelChoice kernel = choose_attention_kernel("flash");
  KvFormat format{DType::f32};
  Workspace workspace;
  vitrine::Run handle;
  ModelRunner runner{model, *ops, kernel, format, workspace, handle};
  AttributionQuestion question{.text = {.ids = {3, 9, 14, 1, 22, 9, 5}, .types = {}, .source = model.spec.encoder.empty() ? std::vector<TokenId>{} : std::vector<TokenId>{8, 4, 19, 30}},
                               .position = 6, .target = 11, .against = 4};
};

TEST_P(Attributions, HaveAScoreForEveryToken) {
  const std::size_t tokens = model.spec.encoder.empty() ? 7 : 4;
  for (const Attribution* method : all_attributions()) {
    if (method->name == "value_zeroing" && !model.spec.encoder.empty()) continue;
    if (method->name == "deeplift" && model.spec.blocks.front().mlp.experts > 0) continue;  // whose baseline goes other ways
    const AttributionResult result = run(method->name);
    EXPECT_EQ(result.scores.size(), tokens) << method->name;
    for (const double score : result.scores) EXPECT_TRUE(std::isfinite(score)) << method->name;
  }
}

TEST_P(Attributions, OfIntegratedGradientsAddUp) {
  const AttributionResult result = run("integrated_gradients", {.steps = 300, .baseline = BaselineKind::mean});
  EXPECT_NEAR(sum_of(result.scores) + *result.rest, result.value - *result.baseline, 1e-9);
  if (model.spec.blocks.front().mlp.experts > 0) return;  // the way jumps where another expert is chosen
  EXPECT_NEAR(*result.rest, 0.0, 2e-3 * (1 + std::abs(result.value - *result.baseline)));
}

TEST_P(Attributions, OfIntegratedGradientsAddUpWithoutSteps) {
  if (model.spec.blocks.front().mlp.experts > 0) GTEST_SKIP() << "experts";
  for (const BaselineKind kind : {BaselineKind::zero, BaselineKind::mean}) {
    const AttributionResult result = run("integrated_gradients", {.baseline = kind});
    EXPECT_LE(std::abs(*result.rest), 1e-3 * std::abs(result.value - *result.baseline) + 2e-6) << static_cast<int>(kind);
    EXPECT_NEAR(sum_of(result.scores) + *result.rest, result.value - *result.baseline, 1e-9);
    EXPECT_LE(*result.gradients, 600u);
  }
}

TEST_P(Attributions, CutsComeToWhatManyEvenPointsCome) {
  if (model.spec.blocks.front().mlp.experts > 0) GTEST_SKIP() << "experts";
  const AttributionResult cut = run("integrated_gradients", {.most_gradients = 3000}), even = run("integrated_gradients", {.steps = 800});
  EXPECT_EQ(cut.by_secants, 0.0);
  double largest = 0.0;  // misses of single tokens may cancel in the sum that cuts go by
  for (const double score : even.scores) largest = std::max(largest, std::abs(score));
  for (std::size_t t = 0; t < cut.scores.size(); ++t) EXPECT_NEAR(cut.scores[t], even.scores[t], 2 * cut.doubts[t] + 1e-3 * (1 + largest)) << t;
}

TEST_P(Attributions, SecantsStandForWhatCutsDoNotReach) {
  if (model.spec.blocks.front().mlp.experts > 0) GTEST_SKIP() << "experts";
  const AttributionResult result = run("integrated_gradients", {.missing = 1e-9, .most_gradients = 16, .baseline = BaselineKind::zero});
  EXPECT_GT(result.by_secants, 0.0);
  EXPECT_LE(*result.gradients, 16u);
  EXPECT_LE(std::abs(*result.rest), 1e-4 * (1 + std::abs(result.value - *result.baseline)));
}

TEST_P(Attributions, OfOcclusionAreThoseOfWholeRuns) {
  for (const AttributedNumber number : {AttributedNumber::logit, AttributedNumber::log_probability}) {
    question.number = number;
    question.against = number == AttributedNumber::logit ? 4 : -1;
    question.position = model.spec.encoder.empty() && model.spec.causal() ? 4 : 6;
    const AttributionOptions options;
    const EmbeddedText text({runner, question, options});
    const Numbers base = text.baseline();
    std::vector<Numbers> versions{text.embeddings()};
    for (std::size_t t = 0; t < base.rows; ++t) std::copy_n(base.data.data() + t * base.cols, base.cols, versions.emplace_back(text.embeddings()).data.data() + t * base.cols);
    const std::vector<double> values = text.values(versions);
    const AttributionResult result = run("occlusion");
    EXPECT_EQ(result.value, values.front());
    for (std::size_t t = 0; t < base.rows; ++t) EXPECT_NEAR(result.scores[t], values.front() - values[t + 1], 1e-6) << t;
  }
}

TEST_P(Attributions, OfDeepLiftAddUpExactly) {
  if (model.spec.blocks.front().mlp.experts > 0) GTEST_SKIP() << "experts";
  for (const BaselineKind kind : {BaselineKind::zero, BaselineKind::mean, BaselineKind::token}) {
    const AttributionResult result = run("deeplift", {.baseline = kind, .baseline_token = 2});
    EXPECT_NEAR(*result.rest, 0.0, 1e-4 * (1 + std::abs(result.value - *result.baseline))) << static_cast<int>(kind);
    EXPECT_NE(result.value, *result.baseline);
  }
}

TEST_P(Attributions, MultipliersBetweenNeighboursAreDerivatives) {
  const AttributionOptions options;
  const EmbeddedText text({runner, question, options});
  const Numbers& x = text.embeddings();
  const Numbers near = between(x, text.baseline(), 1.0 - 1e-3);
  const Numbers secant = text.multipliers(x, near).numbers, derivative = text.slopes(std::vector<Numbers>{between(x, near, 0.5)}).gradients.front();
  double difference = 0.0, square = 0.0;
  for (std::size_t i = 0; i < secant.data.size(); ++i) {
    difference += std::pow(secant.data[i] - derivative.data[i], 2);
    square += std::pow(derivative.data[i], 2);
  }
  EXPECT_LE(std::sqrt(difference / square), 1e-3);
}

TEST_P(Attributions, ValueZeroingGivesShares) {
  if (!model.spec.encoder.empty()) GTEST_SKIP() << "two stacks";
  EXPECT_NEAR(sum_of(run("value_zeroing").scores), 1.0, 1e-6);
}

TEST_P(Attributions, PatchingByDerivativesIsTheFirstOrder) {
  if (!model.spec.encoder.empty() || model.spec.learned_positions || model.spec.embedding_norm || model.spec.embedding_width > 0 || model.spec.token_types > 0) {
    GTEST_SKIP() << "what enters block 0 is not the embedding";
  }
  const SweepPoint point{.stack = model.spec.stack};
  PatchQuestion base{question.text, question.target, question.against, question.position}, other = base;
  other.text.ids[2] = 25;
  const SourceRun source = run_source(runner, other, point);
  const PatchSweep sweep = attribution_patch(runner, base, source, point);
  const AttributionOptions options;
  const EmbeddedText text({runner, question, options});
  AttributionQuestion changed = question;
  changed.text = other.text;
  const EmbeddedText of_other({runner, changed, options});
  const std::vector<double> moved = products_by_row(text.slopes({&text.embeddings(), 1}).gradients.front(), of_other.embeddings(), text.embeddings());
  ASSERT_EQ(sweep.columns, 7u);
  ASSERT_EQ(sweep.patched.size(), 7 * sweep.layers);
  for (std::size_t p = 0; p < 7; ++p) EXPECT_NEAR(sweep.patched[p] - sweep.base, moved[p], 1e-4) << p;
  // Behind the last block the difference is linear but for the final norm: both sweeps agree in sign and order.
  for (const Site site : {Site::z, Site::pattern, Site::attn_scores}) {
    const SweepPoint heads{.stack = model.spec.stack, .site = site, .unit = PatchUnit::head};
    EXPECT_EQ(attribution_patch(runner, base, run_source(runner, other, heads), heads).columns, model.spec.blocks.front().attention.heads);
  }
}

TEST_P(Attributions, BadQuestionsAreRefused) {
  question.position = 7;
  EXPECT_THROW(run("gradient"), Error);
  question.position = 6;
  question.target = 100000;
  EXPECT_THROW(run("gradient"), Error);
  EXPECT_THROW(find_attribution("lime"), Error);
}

INSTANTIATE_TEST_SUITE_P(Models, Attributions,
                         testing::Values("decoders/llama_rope3", "decoders/gemma2", "decoders/qwen3", "decoders/gpt_neox", "decoders/mixtral", "encoders/bert_mlm",
                                         "encoder_decoders/t5", "encoder_decoders/bart"),
                         [](const testing::TestParamInfo<const char*>& tested) { return std::filesystem::path(tested.param).filename().string(); });

}  // namespace
}  // namespace vitrine
