// GPTQ against a plain form of it (gptq.json, make_gptq.py); grids and blocks; GPTQ and AWQ against rounding to nearest on a trained model.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/shortcuts/gptq_rounding.h"
#include "core/shortcuts/sequential.h"
#include "core/shortcuts/type_plan.h"
#include "tests/core/shortcuts/shortcut_harness.h"
#include "tests/stories_model.h"

namespace vitrine {
namespace {

constexpr std::size_t rows = 5, cols = 48, seen = 160;

std::vector<double> uniforms(std::size_t count, std::uint32_t state) {
  std::vector<double> numbers;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    numbers.push_back((static_cast<double>(state >> 8) - 8388608.0) / 8388608.0);
  }
  return numbers;
}

Tensor layer() {
  Tensor weights(DType::f32, {rows, cols});
  std::ranges::transform(uniforms(rows * cols, 5), weights.floats().begin(), [](double x) { return static_cast<float>(x); });
  return weights;
}

Matrix gram_of_inputs() {
  Matrix x(seen, cols);
  x.numbers = uniforms(seen * cols, 9);
  for (std::size_t c = 1; c < cols; ++c) {
    for (std::size_t r = 0; r < seen; ++r) x(r, c) = 0.7 * x(r, c - 1) + x(r, c) * (0.25 + static_cast<double>(c % 7));
  }
  for (std::size_t r = 0; r < seen; ++r) x(r, 11) = 0.0;
  return product_of_transposed(x, x);
}

GridRule rule_of(std::size_t bits, std::size_t group, bool symmetric) {
  GridRule rule;
  rule.group = group;
  rule.fit = [bits, symmetric](auto numbers, auto) { return nearest_grid(numbers, bits, symmetric); };
  return rule;
}

TEST(Quantizing, GptqGivesTheLevelsOfAPlainForm) {
  std::ifstream file(std::filesystem::path(VITRINE_TEST_DATA) / "core/shortcuts/gptq.json", std::ios::binary);
  const Json cases = parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "gptq.json");
  ThreadPool pool(2);
  for (const Json& example : cases.items()) {
    const auto number = [&](const char* key) { return static_cast<std::size_t>(example[key].integer()); };
    const GridRule rule = rule_of(number("bits"), number("group"), example["symmetric"].boolean());
    const GriddedMatrix found = Gptq(gram_of_inputs(), {0.01, example["ordered"].boolean()}).round(layer(), rule, pool);
    for (std::size_t r = 0; r < rows; ++r) {
      std::string levels;
      for (std::size_t c = 0; c < cols; ++c) levels += "0123456789abcdef"[static_cast<int>(found.levels[r * cols + c])];
      EXPECT_EQ(levels, example["levels"].items()[r].string()) << "bits " << number("bits") << " group " << number("group") << " row " << r;
    }
  }
}

TEST(Quantizing, GptqErrsLessOnItsInputsThanNearest) {
  ThreadPool pool(1);
  const Matrix gram = gram_of_inputs();
  const GridRule rule = rule_of(4, 16, false);
  Tensor weights = layer();
  for (std::size_t r = 0; r < rows; ++r) weights.floats()[r * cols + 11] = 0.0f;
  const Tensor nearest = tensor_of(nearest_round(weights, {}, rule, pool), rule, cols), gptq = tensor_of(Gptq(gram, {}).round(weights, rule, pool), rule, cols);
  EXPECT_LT(output_error(weights.floats(), gptq.floats(), gram), 0.8 * output_error(weights.floats(), nearest.floats(), gram));
}

TEST(Quantizing, BlocksHoldTheNumbersOfTheirGrids) {
  ThreadPool pool(1);
  Tensor weights(DType::f32, {3, 64});
  std::ranges::transform(uniforms(192, 4), weights.floats().begin(), [](double x) { return static_cast<float>(x); });
  for (const char* word : {"gptq:type=Q4_0", "gptq:type=Q4_1", "gptq:type=Q8_0"}) {
    const GridRule rule = block_grid_rule(ShortcutCall(word));
    const std::vector<double> importance(64, 1.0);
    const GriddedMatrix matrix = nearest_round(weights, importance, rule, pool);
    const Tensor blocks = tensor_of(matrix, rule, 64);
    std::vector<float> back(192);
    dtype_info(rule.blocks).expand(blocks.bytes().data(), back.data(), back.size());
    for (std::size_t i = 0; i < back.size(); ++i) ASSERT_NEAR(back[i], matrix.grids[i / 32].value(matrix.levels[i]), 1e-6) << word << " " << i;
  }
}

/// A trained model of 260,000 weights in f32, and texts that it makes itself.
class TrainedModel : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path path = stories_model();
    if (path.empty()) GTEST_SKIP() << no_stories_model;
    model_ = load_model(path);
    std::mt19937_64 random(3);
    for (int i = 0; i < 12; ++i) (i < 8 ? calibration_ : evaluation_).push_back(sampled(random));
  }

  /// 96 tokens, each drawn from the model's distribution.
  ModelText sampled(std::mt19937_64& random) {
    ModelText text{{1}, {}, {}};
    KvCache cache(model_.spec, KvFormat(DType::f32));
    const TapPlan taps;
    std::vector<float> logits;
    ForwardSinks sinks;
    sinks.logit_rows = LogitRows::last;
    sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> of_rows) { logits.assign(of_rows.data(), of_rows.data() + of_rows.size()); };
    for (int i = 0; i < 95; ++i) {
      const TokenId last = text.ids.back();
      const Segment segment{.ids = {&last, 1}, .cache = &cache};
      forward({model_, *harness_.ops, harness_.kernel, harness_.workspace, harness_.run, taps}, {&segment, 1}, sinks);
      text.ids.push_back(drawn_token(logits, 1.0, random));
    }
    return text;
  }

  double perplexity(const Model& model) {
    const std::vector<float> logits = harness_.logits(model, evaluation_);
    const std::size_t vocabulary = model.spec.vocabulary;
    double nats = 0.0, count = 0.0;
    std::size_t row = 0;
    for (const ModelText& text : evaluation_) {
      for (std::size_t i = 0; i < text.ids.size(); ++i, ++row) {
        if (i + 1 == text.ids.size()) continue;
        const std::span<const float> of_row(logits.data() + row * vocabulary, vocabulary);
        double sum = 0.0;
        for (const float logit : of_row) sum += std::exp(static_cast<double>(logit));
        nats += std::log(sum) - of_row[static_cast<std::size_t>(text.ids[i + 1])];
        count += 1.0;
      }
    }
    return std::exp(nats / count);
  }

  /// Root mean square over matrices of the output error on held-out texts' inputs, as the model was.
  double error_of(const Model& changed) {
    const std::vector<WeightKey> keys = block_matrices(model_);
    const StatisticsOf statistics = input_statistics(harness_.bench().runner(model_), evaluation_, {keys.begin(), keys.end()}, Statistics::gram);
    double squares = 0.0;
    for (const WeightKey& key : keys) {
      const double error = output_error(expand(model_.weights.at(key)).floats(), expand(changed.weights.at(key)).floats(), statistics.at(key)->gram);
      squares += error * error / static_cast<double>(keys.size());
    }
    return std::sqrt(squares);
  }

  Model changed_by(const std::string& words) {
    Model model = model_;
    harness_.apply(model, words, calibration_);
    return model;
  }

  ShortcutHarness harness_;
  Model model_;
  std::vector<ModelText> calibration_, evaluation_;
};

TEST_F(TrainedModel, GptqAndAwqLoseLessThanNearest) {
  const Model nearest = changed_by("rtn:bits=3"), gptq = changed_by("gptq:bits=3,group=0"), ordered = changed_by("gptq:bits=3,group=0,ordered=yes"),
              awq = changed_by("awq:bits=3,group=0");
  const double whole = perplexity(model_), by_nearest = perplexity(nearest), by_gptq = perplexity(gptq), by_ordered = perplexity(ordered), by_awq = perplexity(awq);
  std::printf("stories260K, 3 bits a row: perplexity %.4f; nearest %.4f, GPTQ %.4f, GPTQ ordered %.4f, AWQ %.4f\n", whole, by_nearest, by_gptq, by_ordered, by_awq);
  std::printf("output error: nearest %.4f, GPTQ %.4f, GPTQ ordered %.4f, AWQ %.4f\n", error_of(nearest), error_of(gptq), error_of(ordered), error_of(awq));
  EXPECT_LT(by_gptq, by_nearest);
  EXPECT_LT(by_ordered, by_nearest);
  EXPECT_LT(by_awq, by_nearest);
  EXPECT_LT(error_of(gptq), error_of(nearest));
  EXPECT_LT(error_of(ordered), error_of(nearest));
  EXPECT_LT(error_of(awq), error_of(nearest));
}

TEST(Quantizing, FoldedScalesLeaveTheModelsFunctionAlone) {
  // BF16 errs so little that a wrong fold stands out, and takes rows of any width.
  ShortcutHarness harness;
  int tried = 0;
  for (const std::filesystem::path& path : golden_models()) {
    const Model model = load_model(path);
    if (!model.spec.has_head) continue;
    const std::vector<ModelText> texts = random_texts(model.spec, 80, 16);
    Model awq = model;
    try {
      harness.apply(awq, "awq:type=BF16", texts);
    } catch (const Error&) {
      continue;  // too short a context
    }
    const std::vector<float> before = harness.logits(model, texts), after = harness.logits(awq, texts);
    EXPECT_LT(relative_error(before, after), 0.06) << golden_name(path);
    ++tried;
  }
  std::printf("AWQ folded in %d architectures\n", tried);
  EXPECT_GT(tried, 5);
}

/// A matrix that is held without its zeros has no `data`; that makes it no other packed matrix.
TEST(Quantizing, PackedMatricesAreRoundedAsIfTheyWereNot) {
  ShortcutHarness harness;
  Model dense = load_model(golden_folder() / "llama" / "model");
  harness.apply(dense, "magnitude:sparsity=0.7");
  Model packed = dense;
  ASSERT_EQ(harness.apply(packed, "pack_sparse").matrices.size(), block_matrices(dense).size());
  const TypePlan plan = plan_types(packed, "Q8_0", Calibrated::no);
  EXPECT_EQ(plan.types, plan_types(dense, "Q8_0", Calibrated::no).types);
  const std::size_t planned = packed.weights.bytes() - bytes_now(packed, plan) + bytes_planned(packed, plan);
  const ShortcutReport of_packed = harness.apply(packed, "quantize:type=Q8_0"), of_dense = harness.apply(dense, "quantize:type=Q8_0");
  EXPECT_EQ(of_packed.matrices.size(), of_dense.matrices.size());
  EXPECT_EQ(packed.weights.bytes(), planned);
  EXPECT_EQ(dense.weights.bytes(), planned);
  for (const auto& [key, weight] : dense.weights.all()) {
    EXPECT_TRUE(std::ranges::equal(expand(packed.weights.at(key)).floats(), expand(weight).floats())) << matrix_name(key);
  }
}

TEST_F(TrainedModel, EightBitsARowChangeLittle) {
  const double whole = perplexity(model_);
  EXPECT_NEAR(perplexity(changed_by("quantize:type=Q8_0")), whole, 0.02 * whole);
  EXPECT_NEAR(perplexity(changed_by("int8_rows")), whole, 0.02 * whole);
}

TEST_F(TrainedModel, RefusesWhatItMust) {
  Model model = model_;
  EXPECT_THROW(harness_.apply(model, "quantize:type=Q9"), Error);
  EXPECT_THROW(harness_.apply(model, "quantize:type=Q4_K_M,importance=yes"), Error);  // no calibration text
  EXPECT_THROW(harness_.apply(model, "gptq:bits=4,group=0"), Error);
  EXPECT_THROW(harness_.apply(model, "rtn:bits=4,group=48"), Error);  // does not divide 64
  EXPECT_THROW(harness_.apply(model, "awq:type=Q4_K", calibration_), Error);  // 64 is no whole block of 256
  harness_.apply(model, "quantize:type=Q8_0");
  EXPECT_THROW(harness_.apply(model, "quantize:type=Q8_0"), Error);  // its own type
  const ShortcutReport report = harness_.apply(model, "quantize:type=Q4_0");
  EXPECT_TRUE(std::ranges::any_of(report.notes, [](const std::string& note) { return note.starts_with("on top of Q8_0"); }));
}

TEST_F(TrainedModel, WidthsThatBlocksDoNotDivideGetTheirFallbackAloud) {
  const TypePlan plan = plan_types(model_, "Q4_K_M", Calibrated::no);
  EXPECT_EQ(plan.gguf_file_type, 15u);
  EXPECT_EQ(plan.types.at({Role::attn_q, 0, false, model_.spec.stack}), DType::q5_0);   // 64 numbers a row
  EXPECT_EQ(plan.types.at({Role::mlp_down, 0, false, model_.spec.stack}), DType::f16);  // 172: no blocks of 32
  EXPECT_FALSE(plan.notes.empty());
}

/// 172 numbers of mlp_down are no whole blocks of 32: these stay, the others go, and a note says so.
TEST_F(TrainedModel, ByInputsWhatBlocksDoNotDivideStaysAloud) {
  for (const char* word : {"gptq:type=Q4_0", "awq:type=Q4_0"}) {
    Model model = model_;
    const ShortcutReport report = harness_.apply(model, word, calibration_);
    EXPECT_EQ(model.weights.at({Role::attn_q, 0, false, model.spec.stack}).type, DType::q4_0) << word;
    EXPECT_EQ(model.weights.at({Role::mlp_up, 0, false, model.spec.stack}).type, DType::q4_0) << word;
    EXPECT_EQ(model.weights.at({Role::mlp_down, 0, false, model.spec.stack}).data, model_.weights.at({Role::mlp_down, 0, false, model_.spec.stack}).data) << word;
    EXPECT_TRUE(std::ranges::any_of(report.notes, [](const std::string& note) { return note.starts_with("rows of 172 numbers are no whole blocks of Q4_0"); })) << word;
  }
}

TEST_F(TrainedModel, TablesAloneWhereTheBlocksAreDone) {
  Model model = model_;
  harness_.apply(model, "quantize:type=Q4_0,blocks=keep");
  EXPECT_EQ(model.weights.at({Role::attn_q, 0, false, model.spec.stack}).data, model_.weights.at({Role::attn_q, 0, false, model_.spec.stack}).data);
  EXPECT_TRUE(dtype_info(model.weights.at({Role::token_embedding, -1, false, model.spec.stack}).type).quantized);
}

TEST_F(TrainedModel, NumbersThatAreNoneAreRefused) {
  for (const float broken : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Model model = model_;
    const WeightKey key{Role::mlp_up, 1, false, model.spec.stack};
    Tensor numbers = expand(model.weights.at(key));
    numbers.floats()[5] = broken;
    model.weights.replace(key, std::move(numbers));
    for (const char* word : {"magnitude", "wanda", "sparsegpt", "quantize:type=Q8_0", "rtn:bits=4", "gptq:type=Q4_0", "awq:type=Q4_0", "svd:share=0.5", "int8_rows"}) {
      Model changed = model;
      EXPECT_THROW(harness_.apply(changed, word, calibration_), Error) << word;
    }
  }
}

}  // namespace
}  // namespace vitrine
