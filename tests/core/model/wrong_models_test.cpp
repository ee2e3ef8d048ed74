// Models that do not fit their own description: one line that says which tensor, which name, which token.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/model/model.h"
#include "tests/core/checkpoint/scratch_file.h"

namespace vitrine {
namespace {

const auto good = std::filesystem::path(VITRINE_TEST_DATA) / "golden" / "llama" / "model";

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A copy of the tiny llama, changed.
class WrongModel : public testing::Test {
 protected:
  WrongModel() : file_("wrong") {
    for (const char* name : {"config.json", "model.safetensors"}) write(name, bytes_of(good / name));
  }
  void write(const char* name, const std::string& bytes) { std::ofstream(file_.folder() / name, std::ios::binary) << bytes; }

  void change_config(const std::function<void(Json&)>& change) {
    Json config = parse_json(bytes_of(good / "config.json"), "config.json");
    change(config);
    write("config.json", config.dump());
  }

  /// A tensor under another name, or besides its own (its bytes twice: no two tensors may share them).
  void rename(const std::string& from, const std::string& to, bool keep) {
    const std::string bytes = bytes_of(good / "model.safetensors");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    Json header = parse_json(bytes.substr(8, length), "header");
    std::string data = bytes.substr(8 + length);
    Json::Object members;
    for (const auto& [name, value] : header.members()) {
      if (name != from || keep) members.emplace_back(name, value);
      if (name != from) continue;
      Json copy = value;
      if (keep) {
        const auto& offsets = value["data_offsets"].items();
        const std::int64_t begin = offsets[0].integer(), size = offsets[1].integer() - begin, end = static_cast<std::int64_t>(data.size());
        data += data.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(size));
        copy.set("data_offsets", Json(Json::Array{Json(end), Json(end + size)}));
      }
      members.emplace_back(to, copy);
    }
    const std::string text = Json(members).dump();
    length = text.size();
    std::string out(8, '\0');
    std::memcpy(out.data(), &length, sizeof length);
    write("model.safetensors", out + text + data);
  }

  std::string refusal() {
    try {
      load_model(file_.folder());
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "opened";
  }
  void expect_refusal(std::initializer_list<const char*> words) {
    const std::string said = refusal();
    for (const char* word : words) EXPECT_NE(said.find(word), std::string::npos) << "no " << word << " in: " << said;
  }

  ScratchFile file_;
};

TEST_F(WrongModel, TheCopyOpens) { EXPECT_EQ(refusal(), "opened"); }

TEST_F(WrongModel, AMissingTensorIsNamedWithItsShape) {
  rename("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up.weight", false);
  expect_refusal({"tensor model.layers.1.mlp.up_proj.weight", "[52, 36]", "nothing"});
}

TEST_F(WrongModel, AShapeThatDoesNotFitIsNamed) {
  change_config([](Json& config) { config.set("intermediate_size", 50); });
  expect_refusal({"tensor model.layers.0.mlp.gate_proj.weight", "[50, 36]", "[52, 36]"});
}

TEST_F(WrongModel, ATensorInABlockThatWouldNotBeUsedIsRefused) {
  rename("model.layers.2.input_layernorm.weight", "model.layers.2.self_attn.q_norm.weight", true);
  expect_refusal({"tensor 'model.layers.2.self_attn.q_norm.weight'", "would not be used"});
}

TEST_F(WrongModel, BuffersInABlockAreNoWeights) {
  rename("model.layers.2.input_layernorm.weight", "model.layers.2.self_attn.rotary_emb.inv_freq", true);
  EXPECT_TRUE(load_model(file_.folder()).unused.empty());
}

TEST_F(WrongModel, HeadsOfAnotherTaskAreSaidToBeUnused) {
  rename("model.norm.weight", "score.weight", true);
  const Model model = load_model(file_.folder());
  EXPECT_EQ(model.unused, std::vector<std::string>{"score.weight"});
  EXPECT_EQ(model.parameters, 32580u);  // as transformers counts them
}

TEST_F(WrongModel, AnUnknownArchitectureIsNamedWithTheNearest) {
  change_config([](Json& config) { config.set("model_type", "qwen22").set("architectures", Json(Json::Array{Json("Qwen22ForCausalLM")})); });
  expect_refusal({"model_type", "'qwen22'", "llama", "the nearest is qwen2"});
}

TEST_F(WrongModel, KeysAreNamedAsTheFileSpellsThem) {
  change_config([](Json& config) { config.set("num_attention_heads", "6"); });
  expect_refusal({"num_attention_heads", "a whole number", "6"});
}

TEST_F(WrongModel, WhatLlamaDoesNotDoIsRefusedAndWhatItLeavesOutIsKnown) {
  change_config([](Json& config) { config.set("partial_rotary_factor", 0.5); });
  expect_refusal({"partial_rotary_factor", "the whole of a head rotates in llama"});
  change_config([](Json& config) { config.set("max_position_embeddings", Json()); });
  EXPECT_EQ(load_model(file_.folder()).spec.context, 2048u);
}

TEST_F(WrongModel, FewerBlocksThanTheFileHasAreRefused) {
  change_config([](Json& config) { config.set("num_hidden_layers", 2); });
  expect_refusal({"number of blocks", "more than 2", "model.layers.2"});
}

TEST_F(WrongModel, ATokenizerWithMoreTokensThanRowsIsRefused) {
  Json vocabulary = Json::object();
  for (int id = 0; id < 80; ++id) vocabulary.set("t" + std::to_string(id), id);
  Json inner = Json::object();
  inner.set("type", "BPE").set("vocab", vocabulary).set("merges", Json::array());
  write("tokenizer.json", Json::object().set("version", "1.0").set("added_tokens", Json::array()).set("model", inner).dump());
  expect_refusal({"tokenizer", "at most 71 tokens", "80", "token 71"});
}

}  // namespace
}  // namespace vitrine
