#include "core/shortcuts/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "core/base/error.h"
#include "tests/core/shortcuts/shortcut_harness.h"

// tests/golden/make_adapters.py: random adapters as PEFT saves them, and the logits that PEFT computes.

namespace vitrine {
namespace {

struct Golden {
  const char *adapter, *model;
  bool beside = true;  // magnitudes can only be merged
};
constexpr Golden goldens[] = {{"llama", "llama/model"}, {"llama", "llama/model.gguf"}, {"llama_stabilized", "llama/model"}, {"llama_dora", "llama/model", false},
                              {"gpt2", "gpt2/model"}, {"gpt_neox", "decoders/gpt_neox/model"}, {"phi3", "decoders/phi3/model"}, {"head", "llama/model"}};

std::filesystem::path adapter_folder(std::string_view name) { return golden_folder() / "adapters" / name; }

double distance(std::span<const float> found, std::span<const float> expected) {
  EXPECT_EQ(found.size(), expected.size());
  return relative_error(expected, found);
}

struct Expected {
  explicit Expected(std::string_view name) : checkpoint(open_checkpoint(adapter_folder(name) / "expected.safetensors")), logits(expand(checkpoint.find("logits")->weight)) {
    const Weight& ids = checkpoint.find("ids")->weight;
    text[0].ids.resize(ids.cols);
    std::memcpy(text[0].ids.data(), ids.data, ids.cols * sizeof(TokenId));
  }
  Checkpoint checkpoint;
  Tensor logits;
  ModelText text[1];
};

class Adapters : public testing::TestWithParam<Golden> {};

TEST_P(Adapters, ComputeWhatPeftComputes) {
  ShortcutHarness harness;
  const Expected expected(GetParam().adapter);
  const Model base = load_model(golden_folder() / GetParam().model);
  const std::string word = "lora:adapter=" + adapter_folder(GetParam().adapter).string();
  EXPECT_GT(distance(harness.logits(base, expected.text), expected.logits.floats()), 1e-2);

  Model merged = base;
  EXPECT_TRUE(harness.apply(merged, word).layers.empty());
  const std::vector<float> of_merged = harness.logits(merged, expected.text);
  EXPECT_LE(distance(of_merged, expected.logits.floats()), 1e-5);
  if (!GetParam().beside) return;

  Model beside = base;
  const ShortcutReport report = harness.apply(beside, word + ",merged=no");
  ASSERT_EQ(report.layers.size(), 1u);
  EXPECT_TRUE(report.matrices.empty());
  const std::vector<float> of_beside = harness.logits(beside, expected.text, report.layers);
  EXPECT_LE(distance(of_beside, expected.logits.floats()), 1e-5);
  EXPECT_LE(distance(of_beside, of_merged), 1e-5);
}

/// Half an adapter twice is the whole one.
TEST_P(Adapters, AddUpByScale) {
  if (!GetParam().beside) return;
  ShortcutHarness harness;
  const Expected expected(GetParam().adapter);
  const std::string word = "lora:scale=0.5,adapter=" + adapter_folder(GetParam().adapter).string();
  Model model = load_model(golden_folder() / GetParam().model);
  const ShortcutReport report = harness.apply(model, word + "+" + word + ",merged=no");
  EXPECT_LE(distance(harness.logits(model, expected.text, report.layers), expected.logits.floats()), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Peft, Adapters, testing::ValuesIn(goldens), [](const auto& info) {
  return std::string(info.param.adapter) + (std::string_view(info.param.model).ends_with("gguf") ? "_gguf" : "");
});

/// A copy of an adapter, changed.
class BrokenAdapters : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("adapter_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(adapter_folder("llama"), folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string bytes_of(const char* file) const {
    std::ifstream stream(folder_ / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void write(const char* file, const std::string& bytes) const { std::ofstream(folder_ / file, std::ios::binary) << bytes; }
  /// In a file, or nothing was changed.
  void replace(const char* file, const std::string& from, const std::string& to) const {
    std::string bytes = bytes_of(file);
    const std::size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(file, bytes.replace(at, from.size(), to));
  }
  std::string refusal(const char* model = "llama/model") const {
    try {
      read_adapter(folder_, load_model(golden_folder() / model));
    } catch (const Error& error) {
      const std::string line = error.what();
      EXPECT_EQ(line.find('\n'), std::string::npos);
      return line;
    }
    return "";
  }
  std::filesystem::path folder_;
};

TEST_F(BrokenAdapters, AreRefusedInALine) {
  EXPECT_EQ(refusal(), "");
  EXPECT_NE(refusal("gpt2/model").find("the adapter was made for"), std::string::npos) << refusal("gpt2/model");
  EXPECT_NE(refusal("decoders/mistral/model").find("of another size"), std::string::npos) << refusal("decoders/mistral/model");
  replace("adapter_config.json", "\"r\": 4", "\"r\": 9");
  EXPECT_NE(refusal().find("rank 9"), std::string::npos) << refusal();
  replace("adapter_config.json", "\"r\": 9", "\"r\": -1");
  EXPECT_NE(refusal().find("a rank from 1"), std::string::npos) << refusal();
  replace("adapter_config.json", "\"r\": -1", "\"r\": 4");
  replace("adapter_config.json", "\"LORA\"", "\"IA3\"");
  EXPECT_NE(refusal().find("peft_type"), std::string::npos) << refusal();
  replace("adapter_config.json", "\"IA3\"", "\"LORA\"");
  replace("adapter_config.json", "\"use_dora\": false", "\"use_dora\": true");
  EXPECT_NE(refusal().find("a magnitude"), std::string::npos) << refusal();
  replace("adapter_config.json", "\"use_dora\": true", "\"use_dora\": 1");
  EXPECT_NE(refusal().find("true or false"), std::string::npos) << refusal();
  replace("adapter_config.json", "\"use_dora\": 1", "\"use_dora\": false");
  replace("adapter_config.json", "\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]");
  EXPECT_NE(refusal().find("modules_to_save"), std::string::npos) << refusal();
  replace("adapter_config.json", "\"modules_to_save\": [\"lm_head\"]", "\"modules_to_save\": null");
  replace("adapter_config.json", "layers\\\\.1", "(layers\\\\.1");
  EXPECT_NE(refusal().find("rank_pattern"), std::string::npos) << refusal();
}

TEST_F(BrokenAdapters, LackingTensorsAreRefused) {
  replace("adapter_model.safetensors", "layers.0.self_attn.q_proj.lora_A", "layers.0.self_attn.q_proj.lora_X");
  EXPECT_NE(refusal().find("another kind of tensor"), std::string::npos) << refusal();
  SetUp();
  replace("adapter_model.safetensors", "layers.0.self_attn.q_proj.lora_A", "layers.7.self_attn.q_proj.lora_A");
  EXPECT_NE(refusal().find("no lora_A"), std::string::npos) << refusal();
  SetUp();
  std::filesystem::remove(folder_ / "adapter_model.safetensors");
  EXPECT_NE(refusal().find("adapter_model.safetensors"), std::string::npos) << refusal();
  std::filesystem::remove(folder_ / "adapter_config.json");
  EXPECT_NE(refusal().find("adapter_config.json"), std::string::npos) << refusal();
}

/// Cut anywhere, or with sizes that the file does not have.
TEST_F(BrokenAdapters, HostileFilesAreRefused) {
  const std::string whole = bytes_of("adapter_model.safetensors");
  for (std::size_t size = 0; size < whole.size(); size += 997) {
    write("adapter_model.safetensors", whole.substr(0, size));
    EXPECT_NE(refusal(), "") << size;
  }
  write("adapter_model.safetensors", whole);
  replace("adapter_model.safetensors", "[4,36]", "[9,36]");
  EXPECT_NE(refusal(), "");
  const std::string config = bytes_of("adapter_config.json");
  for (std::size_t size = 0; size + 4 < config.size(); size += 53) {
    write("adapter_config.json", config.substr(0, size));
    EXPECT_NE(refusal(), "") << size;
  }
}

}  // namespace
}  // namespace vitrine
