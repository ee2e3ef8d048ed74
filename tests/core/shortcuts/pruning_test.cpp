#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/shortcuts/sparsity.h"
#include "tests/core/shortcuts/shortcut_harness.h"

namespace vitrine {
namespace {

constexpr const char* small[] = {"decoders/gpt2_inner", "decoders/mixtral", "decoders/gemma2", "bert", "encoder_decoders/t5", "encoder_decoders/bart"};

Model golden(const std::string& name) {
  for (const std::filesystem::path& path : golden_models()) {
    if (golden_name(path) == name) return load_model(path);
  }
  return load_model(golden_folder() / name / "model");
}

std::string refusal(Model& model, std::string_view words, std::span<const ModelText> texts = {}) {
  ShortcutHarness harness;
  try {
    harness.apply(model, words, texts);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LowestScores, GoFirstOfEqualsFirst) {
  const std::vector<double> scores{3, 1, 1, 2, 5, 4, 4, 0};
  using Marks = std::vector<std::uint8_t>;
  EXPECT_EQ(lowest(scores, 4, {.share = 0.5}, MaskScope::matrix), (Marks{0, 1, 1, 1, 0, 0, 0, 1}));
  EXPECT_EQ(lowest(scores, 4, {.share = 0.25}, MaskScope::row), (Marks{0, 1, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(lowest(scores, 4, {.share = 0.5, .kept = 1, .group = 2}, MaskScope::matrix), (Marks{0, 1, 1, 0, 0, 1, 0, 1}));
  EXPECT_EQ(lowest(scores, 4, {.share = 0.0}, MaskScope::row), (Marks(8, 0)));
  EXPECT_EQ(lowest(scores, 4, {.share = 1.0}, MaskScope::matrix), (Marks(8, 1)));
  // 0.29 x 100 is 28.999999999999996
  const std::vector<std::uint8_t> of_hundred = lowest(std::vector<double>(100, 1.0), 100, {.share = 0.29}, MaskScope::row);
  EXPECT_EQ(std::ranges::count(of_hundred, 1), 29);
}

TEST(Pruning, RefusesPatternsThatDoNotFit) {
  Model model = golden("llama");
  EXPECT_NE(refusal(model, "magnitude:pattern=4:8").find("groups of 8"), std::string::npos);
  for (const char* bad : {"4:2", "0:4", "2", "2:", ":4", "2:4x", "2:65", "-1:4"}) {
    EXPECT_NE(refusal(model, "magnitude:pattern=" + std::string(bad)).find("N:M"), std::string::npos) << bad;
  }
  EXPECT_NE(refusal(model, "magnitude:pattern=2:4,sparsity=0.6").find("beside another sparsity"), std::string::npos);
  EXPECT_NE(refusal(model, "wanda").find("calibration text for wanda: expected at least 32 tokens, found none"), std::string::npos);
  const std::vector<ModelText> few = random_texts(model.spec, 1, 20);
  EXPECT_NE(refusal(model, "sparsegpt", few).find("at least 36 tokens, found 20"), std::string::npos);
  EXPECT_NE(refusal(model, "drop_layers:layers=0/1/2").find("at least one block that stays"), std::string::npos);
  EXPECT_NE(refusal(model, "drop_layers:layers=0/3").find("from 0 to 2"), std::string::npos);
  EXPECT_NE(refusal(model, "drop_heads:heads=L0H6").find("heads of this model"), std::string::npos);
  EXPECT_NE(refusal(model, "random_heads").find("neither"), std::string::npos);
}

/// Every method leaves the zeros that were asked for, in every architecture, and the whole still computes.
TEST(Pruning, LeavesTheZerosThatWereAskedFor) {
  ShortcutHarness harness;
  for (const char* name : small) {
    for (const char* word : {"magnitude:sparsity=0.3", "magnitude:pattern=2:4", "wanda:sparsity=0.5", "wanda:pattern=2:4", "sparsegpt:sparsity=0.5", "sparsegpt:pattern=1:4,block=8", "random_mask:sparsity=0.7"}) {
      SCOPED_TRACE(std::string(name) + " " + word);
      Model model = golden(name);
      const std::vector<ModelText> texts = random_texts(model.spec, 6, 15);
      const bool fits = std::ranges::all_of(block_matrices(model), [&](const WeightKey& key) { return model.weights.at(key).cols % 4 == 0; });
      if (std::string_view(word).find("pattern") != std::string_view::npos && !fits) continue;
      const Sparsity sparsity = sparsity_of(parse_shortcuts(word)[0], model);
      const ShortcutReport report = harness.apply(model, word, texts);
      EXPECT_FALSE(report.matrices.empty());
      for (const MatrixChange& change : report.matrices) EXPECT_TRUE(change.output_error.has_value()) << change.name;
      for (const WeightKey& key : block_matrices(model)) {
        const bool stays = std::ranges::any_of(report.notes, [&](const std::string& note) { return note.starts_with(matrix_name(key) + " stays"); });
        if (stays) continue;
        const Tensor numbers = expand(model.weights.at(key));
        const double zeros = static_cast<double>(std::ranges::count(numbers.floats(), 0.0f)) / static_cast<double>(numbers.size());
        EXPECT_NEAR(zeros, sparsity.share, 1.0 / static_cast<double>(numbers.shape()[1])) << matrix_name(key);
        for (std::size_t i = 0; sparsity.group > 0 && i < numbers.size(); i += sparsity.group) {
          EXPECT_LE(sparsity.group - static_cast<std::size_t>(std::ranges::count(numbers.floats().subspan(i, sparsity.group), 0.0f)), sparsity.kept) << matrix_name(key);
        }
      }
      for (const float logit : harness.logits(model, texts)) ASSERT_TRUE(std::isfinite(logit));
    }
  }
}

// tests/golden/make_pruning.py: numpy's masks and weights of a model pruned block by block.
class PublishedForms : public testing::Test {
 protected:
  void SetUp() override {
    for (NamedTensor& tensor : open_checkpoint(golden_folder() / "pruning" / "expected.safetensors").tensors) expected_.emplace(tensor.name, std::move(tensor.weight));
    const Weight& ids = expected_.at("ids");
    for (std::size_t r = 0; r < ids.rows; ++r) {
      texts_.emplace_back().ids.resize(ids.cols);
      std::memcpy(texts_.back().ids.data(), ids.data + r * ids.cols * sizeof(TokenId), ids.cols * sizeof(TokenId));
    }
  }
  static std::string hugging_face_name(const WeightKey& key) {
    static const std::map<Role, std::string> names{{Role::attn_q, "self_attn.q_proj"}, {Role::attn_k, "self_attn.k_proj"}, {Role::attn_v, "self_attn.v_proj"}, {Role::attn_out, "self_attn.o_proj"},
                                                   {Role::mlp_gate, "mlp.gate_proj"}, {Role::mlp_up, "mlp.up_proj"}, {Role::mlp_down, "mlp.down_proj"}};
    return "model.layers." + std::to_string(key.block) + "." + names.at(key.role) + ".weight";
  }
  std::map<std::string, Weight> expected_;
  std::vector<ModelText> texts_;
};

TEST_F(PublishedForms, WandaMarksTheSameNumbers) {
  ShortcutHarness harness;
  for (const auto& [name, word] : {std::pair{"half", "wanda:sparsity=0.5"}, std::pair{"2:4", "wanda:pattern=2:4"}}) {
    Model model = golden("llama");
    harness.apply(model, word, texts_);
    for (const WeightKey& key : block_matrices(model)) {
      const Tensor numbers = expand(model.weights.at(key));
      const Weight& stays = expected_.at("wanda/" + std::string(name) + "/" + hugging_face_name(key));
      for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers.floats()[i] != 0.0f, static_cast<int>(stays.data[i]) != 0) << name << " " << matrix_name(key) << " " << i;
    }
  }
}

TEST_F(PublishedForms, SparseGptMakesTheSameNumbers) {
  ShortcutHarness harness;
  for (const auto& [name, word] : {std::pair{"half", "sparsegpt:sparsity=0.5,block=16"}, std::pair{"2:4", "sparsegpt:pattern=2:4,block=16"}}) {
    Model model = golden("llama");
    harness.apply(model, word, texts_);
    for (const WeightKey& key : block_matrices(model)) {
      const Tensor numbers = expand(model.weights.at(key)), expected = expand(expected_.at("sparsegpt/" + std::string(name) + "/" + hugging_face_name(key)));
      EXPECT_LE(relative_error(expected.floats(), numbers.floats()), 2e-5) << name << " " << matrix_name(key);
      for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers.floats()[i] != 0.0f, expected.floats()[i] != 0.0f) << name << " " << matrix_name(key) << " " << i;
    }
  }
}

/// Writes zeros into one head's z, or what entered a block in the place of what leaves it.
class Without : public Observer {
 public:
  Without(int block, std::optional<std::size_t> head) : block_(block), head_(head) {}
  Access access(const ProbePoint& point) const override {
    if (point.stack == Stack::encoder || point.role != AttentionRole::self || point.block != block_) return Access::none;
    if (head_) return point.site == Site::z ? Access::write : Access::none;
    return point.site == Site::resid_pre ? Access::read : point.site == Site::resid_post ? Access::write : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      float* row = &values(r, head_.value_or(0), 0);
      if (head_) {
        std::fill_n(row, values.extent(2), 0.0f);
      } else if (point.site == Site::resid_pre) {
        entered_.resize(std::max(entered_.size(), (r + 1) * values.extent(2)));
        std::copy_n(row, values.extent(2), entered_.data() + r * values.extent(2));
      } else {
        std::copy_n(entered_.data() + r * values.extent(2), values.extent(2), row);
      }
    }
  }

 private:
  int block_;
  std::optional<std::size_t> head_;
  std::vector<float> entered_;
};

std::vector<float> logits_without(ShortcutHarness& harness, const Model& model, std::span<const ModelText> texts, int block, std::optional<std::size_t> head) {
  std::vector<float> all;
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> rows) { all.insert(all.end(), rows.data(), rows.data() + rows.size()); };
  Without without(block, head);
  Observer* observers[] = {&without};
  for (std::size_t i = 0; i < texts.size(); ++i) run_texts(harness.bench().runner(model), texts.subspan(i, 1), observers, sinks);
  return all;
}

TEST(DroppedHeads, AreThoseWhoseOutputIsZero) {
  ShortcutHarness harness;
  for (const char* name : {"llama", "decoders/gemma2", "encoder_decoders/bart"}) {
    Model model = golden(name);
    const std::vector<ModelText> texts = random_texts(model.spec, 2, 9);
    const std::vector<float> expected = logits_without(harness, model, texts, 1, 1);
    EXPECT_NE(harness.logits(model, texts), expected) << name;
    harness.apply(model, "drop_heads:heads=L1H1");
    EXPECT_EQ(harness.logits(model, texts), expected) << name;
  }
}

/// A head whose output matrix is zero writes nothing, so it goes first.
TEST(DroppedHeads, WriteLeast) {
  ShortcutHarness harness;
  Model model = golden("llama");
  const std::vector<ModelText> texts = random_texts(model.spec, 3, 20);
  harness.apply(model, "drop_heads:heads=2.3");
  EXPECT_EQ(harness.apply(model, "drop_heads:count=1", texts).notes, std::vector<std::string>{"silent: L2H3"});
  const ShortcutReport random = harness.apply(model, "random_heads:count=5", {}, 3);
  EXPECT_EQ(random.notes, harness.apply(model, "random_heads:count=5", {}, 3).notes);
  EXPECT_NE(random.notes, harness.apply(model, "random_heads:count=5", {}, 4).notes);
}

TEST(DroppedLayers, AreThoseThatPassTheirInputOn) {
  ShortcutHarness harness;
  for (const char* name : {"llama", "decoders/gemma2", "decoders/gpt2_inner", "encoder_decoders/t5", "encoder_decoders/bart"}) {
    Model model = golden(name);
    if (model.spec.blocks.front().placement == NormPlacement::post) continue;
    const std::vector<ModelText> texts = random_texts(model.spec, 2, 9);
    const std::vector<float> expected = logits_without(harness, model, texts, 1, std::nullopt);
    const std::size_t blocks = model.spec.blocks.size();
    harness.apply(model, "drop_layers:layers=1");
    EXPECT_EQ(model.spec.blocks.size(), blocks - 1);
    EXPECT_EQ(harness.logits(model, texts), expected) << name;
  }
}

/// A block that adds nothing has no influence.
TEST(DroppedLayers, HaveTheLeastInfluence) {
  ShortcutHarness harness;
  Model model = golden("llama");
  const std::vector<ModelText> texts = random_texts(model.spec, 3, 20);
  for (const Role role : {Role::attn_out, Role::mlp_down}) {
    Tensor zeros = expand(model.weights.at({role, 1}));
    std::ranges::fill(zeros.floats(), 0.0f);
    model.weights.replace({role, 1}, std::move(zeros));
  }
  const std::vector<float> expected = harness.logits(model, texts);
  const ShortcutReport report = harness.apply(model, "drop_layers:count=1", texts);
  EXPECT_EQ(report.notes.back(), "blocks gone: 1");
  EXPECT_TRUE(report.notes.front().starts_with("block influence:")) << report.notes.front();
  EXPECT_NE(report.notes.front().find(" 0.0000 "), std::string::npos) << report.notes.front();
  EXPECT_EQ(harness.logits(model, texts), expected);
}

TEST(Controls, AreShortcutsOfTheSameSize) {
  for (const char* word : {"magnitude:sparsity=0.3", "wanda:pattern=2:4", "sparsegpt", "drop_heads:share=0.25", "drop_heads:heads=L0H1/L1H0", "drop_layers:count=2", "drop_layers:layers=1/2"}) {
    const ShortcutCall call = parse_shortcuts(word)[0];
    const std::string control = call.shortcut().control(call);
    EXPECT_TRUE(parse_shortcuts(control)[0].shortcut().name.starts_with("random_")) << control;
  }
  EXPECT_EQ(parse_shortcuts("drop_heads:heads=L0H1/L1H0")[0].shortcut().control(parse_shortcuts("drop_heads:heads=L0H1/L1H0")[0]), "random_heads:count=2");
}

}  // namespace
}  // namespace vitrine
