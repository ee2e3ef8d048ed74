// convert, quantize, prune and merge, as a shell starts them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/json.h"
#include "tests/experiments/run_program.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Surgery : public testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "abc ab,\"ca bc abc ab,a b c ab,c\n";
    text_ = model_.write("text.txt", text);
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string out(const std::string& name) const { return folder_ + "/" + name; }
  Answer vitrine(const std::string& words) const { return run(std::string(VITRINE_PROGRAM) + " " + words + " --quiet"); }
  Json json(const std::string& words) const {
    const Answer answer = vitrine(words + " --json");
    EXPECT_EQ(answer.code, 0) << answer.out;
    return parse_json(answer.out, words);
  }
  double sum(const std::string& model, const std::string& more = "") const {
    return json("score " + model + " --text 'abc ab,ca bc' --bos no --precision exact " + more)["sum"].number();
  }
  /// One line that says this, the exit code, and no file.
  void expect_refused(const std::string& words, const std::string& said, const std::string& file) const {
    const Answer answer = vitrine(words + " -o " + out(file));
    EXPECT_NE(answer.code, 0) << words;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;
    EXPECT_THAT(answer.out, HasSubstr(said)) << words;
    EXPECT_FALSE(fs::exists(out(file))) << words;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path().filename().string());
    return found;
  }

  TokenizingModel model_;
  std::string text_, folder_ = (fs::temp_directory_path() / ("vitrine_surgery_" + std::to_string(getpid()))).string();
};

TEST_F(Surgery, ConvertedFilesSayTheSame) {
  ASSERT_EQ(vitrine("convert " + model_.path() + " -o " + out("a.gguf")).code, 0);
  ASSERT_EQ(vitrine("convert " + out("a.gguf") + " -o " + out("folder")).code, 0);
  EXPECT_EQ(sum(out("a.gguf")), sum(model_.path()));
  EXPECT_EQ(sum(out("folder")), sum(model_.path()));
  EXPECT_EQ(vitrine("convert " + model_.path() + " -o " + out("a.gguf")).code, 2);
  EXPECT_EQ(vitrine("convert " + model_.path() + " --force -o " + out("a.gguf")).code, 0);
  EXPECT_THAT(names(), testing::UnorderedElementsAre("a.gguf", "folder"));
  expect_refused("convert " + model_.path(), "file that can be written", "nowhere/b.gguf");
}

TEST_F(Surgery, QuantizeSaysWhatItDidAndWhatItCosts) {
  const Json plan = json("quantize " + model_.path() + " --plan -o " + out("a.gguf"));
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(plan["type"].string(), "Q8_0");
  const Json made = json("quantize " + model_.path() + " --calibration " + text_ + " -o " + out("a.gguf"));
  EXPECT_EQ(made["bytes_after"].integer(), plan["bytes_after"].integer());
  EXPECT_FALSE(made["price"].items().empty());
  EXPECT_THAT(made["protocol"]["texts"].string(), HasSubstr("held out"));
  EXPECT_NEAR(sum(out("a.gguf")), sum(model_.path()), 0.05);
  const std::string& word = made["word"].string();
  EXPECT_NEAR(sum(model_.path(), "--apply '" + word + "' --calibration " + text_), sum(out("a.gguf")), 1e-9);
}

TEST_F(Surgery, PruneWritesZerosAndForgetsNoOperation) {
  const Json first = json("prune " + model_.path() + " --method magnitude --sparsity 0.5 -o " + out("half.gguf"));
  EXPECT_TRUE(first["written"].boolean());
  const Json second = json("prune " + out("half.gguf") + " --method drop_layers --count 1 --calibration " + text_ + " -o " + out("short.gguf"));
  std::vector<std::string> operations;
  for (const Json& operation : second["history"].items()) operations.push_back(operation["operation"].string());
  EXPECT_THAT(operations, testing::ElementsAre("prune", "convert", "prune"));
  EXPECT_NE(sum(out("half.gguf")), sum(model_.path()));
  EXPECT_EQ(sum(model_.path(), "--apply magnitude:sparsity=0.5"), sum(out("half.gguf")));
  EXPECT_LT(fs::file_size(out("short.gguf")), fs::file_size(out("half.gguf")));
}

TEST_F(Surgery, AFolderThatHoldsSomethingElseStays) {
  fs::create_directories(out("mine"));
  std::ofstream(out("mine/adapter_model.safetensors")) << "numbers";
  EXPECT_EQ(vitrine("convert " + model_.path() + " --force -o " + out("mine")).code, 2);
  EXPECT_EQ(names(), std::vector<std::string>{"mine"});
  EXPECT_TRUE(fs::exists(out("mine/adapter_model.safetensors")));
  ASSERT_EQ(vitrine("convert " + model_.path() + " -o " + out("made")).code, 0);
  std::ofstream(out("made/merges.txt")) << "an older tokenizer's";
  ASSERT_EQ(vitrine("convert " + model_.path() + " --force -o " + out("made")).code, 0);
  EXPECT_FALSE(fs::exists(out("made/merges.txt")));
  EXPECT_THAT(names(), testing::UnorderedElementsAre("mine", "made"));
}

TEST_F(Surgery, ATrailingSlashNamesTheSameFolder) {
  const std::string first = vitrine("convert " + model_.path() + " -o " + out("made/")).out;
  EXPECT_TRUE(fs::is_regular_file(out("made/config.json"))) << first;
  const std::string again = vitrine("convert " + model_.path() + " --force -o " + out("made/")).out;
  EXPECT_TRUE(fs::is_regular_file(out("made/config.json"))) << again;
  EXPECT_THAT(names(), testing::ElementsAre("made"));
}

/// Whatever else a folder of Hugging Face holds goes along.
TEST_F(Surgery, AFolderThatWasWrittenMayBeReplaced) {
  for (const char* name : {"preprocessor_config.json", "modules.json", "sentencepiece.model", "spm.model", "source.spm", "target.spm", "chat_template.json",
                           "sentence_bert_config.json", "config_sentence_transformers.json"}) {
    std::ofstream(fs::path(model_.path()) / name) << "{}";
  }
  ASSERT_EQ(vitrine("convert " + model_.path() + " -o " + out("made")).code, 0);
  EXPECT_TRUE(fs::exists(out("made/modules.json")));
  const Answer again = vitrine("convert " + model_.path() + " --force -o " + out("made"));
  EXPECT_EQ(again.code, 0) << again.out;
}

TEST_F(Surgery, MatricesGoBackIntoTheirBlocks) {
  ASSERT_EQ(vitrine("quantize " + model_.path() + " --no-price -o " + out("q.gguf")).code, 0);
  ASSERT_EQ(vitrine("prune " + out("q.gguf") + " --method drop_heads --heads L0H0 --no-price -o " + out("p.gguf")).code, 0);
  EXPECT_EQ(fs::file_size(out("p.gguf")) / 1024, fs::file_size(out("q.gguf")) / 1024);
  EXPECT_NE(sum(out("p.gguf")), sum(out("q.gguf")));
}

TEST_F(Surgery, NoTextsAreNoError) {
  const Json none = json("generate " + model_.path() + " --lines " + model_.write("none.txt", ""));
  EXPECT_TRUE(none["sequences"].items().empty());
  EXPECT_EQ(vitrine("study pairs " + model_.path() + " --variant a=magnitude --variant a=magnitude:sparsity=0.2 -o " + out("s")).code, 2);
  EXPECT_EQ(vitrine("study tradeoff " + model_.path() + " --margin nan -o " + out("s")).code, 2);
}

TEST_F(Surgery, BadWordsLeaveNoFile) {
  const std::string model = model_.path();
  expect_refused("quantize " + model + " --type Q9", "found 'Q9'", "a.gguf");
  expect_refused("quantize " + model + " --method gptq", "calibration text for gptq", "a.gguf");
  expect_refused("quantize " + model + " --calibration " + model_.write("short.txt", "abc"), "at least", "a.gguf");
  expect_refused("quantize " + model, "ends in .gguf", "a");
  expect_refused("prune " + model + " --method wanda", "calibration text for wanda", "a.gguf");
  expect_refused("prune " + model + " --method magnitude --sparsity 2", "from 0 to 1", "a.gguf");
  expect_refused("prune " + model + " --method magnitude --heads L0H0", "another method", "a.gguf");
  expect_refused("merge " + model + " --adapter " + folder_ + "/none", "adapter_config.json", "a.gguf");
  EXPECT_TRUE(names().empty());
}

TEST_F(Surgery, APlanIsRefusedWhereTheWorkWouldBe) {
  const std::string model = model_.path(), plan = " --plan";
  expect_refused("quantize " + model + " --method gptq" + plan, "calibration text for gptq", "a.gguf");
  expect_refused("quantize " + model + plan + " --calibration " + model_.write("short.txt", "abc"), "at least", "a.gguf");
  expect_refused("quantize " + model + plan + " --eval " + folder_ + "/none.txt", "none.txt", "a.gguf");
  expect_refused("prune " + model + plan, "calibration text for wanda", "a.gguf");
  expect_refused("prune " + model + plan + " --method drop_heads --heads L9H9", "heads of this model", "a.gguf");
  expect_refused("prune " + model + plan + " --method drop_layers --layers 77", "different blocks from 0", "a.gguf");
  expect_refused("prune " + model + plan + " --method magnitude --pattern 3:7", "groups of 7", "a.gguf");
  expect_refused("merge " + model + plan + " --adapter " + folder_ + "/none", "adapter_config.json", "a.gguf");
  EXPECT_EQ(vitrine("prune " + model + plan + " --method magnitude -o " + out("a.gguf")).code, 0);
  EXPECT_TRUE(names().empty());
}

TEST_F(Surgery, WhatWouldNotBeHeardIsRefused) {
  const std::string model = model_.path();
  expect_refused("prune " + model + " --method magnitude --no-price --eval " + text_, "--eval", "a.gguf");
  expect_refused("prune " + model + " --method magnitude --calibration-tokens 64", "--calibration", "a.gguf");
  const std::vector<std::string> unheard{"--apply ''", "--calibration " + text_, "--samplers ''", "--bad-words ''", "--max-tokens 2 --min-tokens 5"};
  for (const std::string& words : unheard) {
    const Answer answer = vitrine("generate " + model + " --text a " + words);
    EXPECT_EQ(answer.code, 2) << words;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;
  }
}

/// Behind factors that stand in the place of the weights nothing else has an effect.
TEST_F(Surgery, ShortcutsWithoutEffectAreRefused) {
  const std::string model = model_.path();
  for (const std::string words : {"svd:rank=2+magnitude", "svd:rank=2+rtn:bits=4,group=0", "activation_int8+svd:rank=2"}) {
    const Answer answer = vitrine("score " + model + " --text 'abc ab' --apply " + words);
    EXPECT_EQ(answer.code, 2) << words;
    EXPECT_THAT(answer.out, HasSubstr(" behind ")) << words;
  }
  EXPECT_EQ(vitrine("study tradeoff " + model + " --variant a=svd:rank=2+magnitude -o " + out("s")).code, 2);
  EXPECT_NE(sum(model, "--apply magnitude+svd:rank=2"), sum(model, "--apply svd:rank=2"));
}

TEST_F(Surgery, InfoTellsWhatWasDoneToAFile) {
  ASSERT_EQ(vitrine("prune " + model_.path() + " --method magnitude --no-price -o " + out("half.gguf")).code, 0);
  const Json history = json("info " + out("half.gguf"))["history"];
  ASSERT_EQ(history.items().size(), 2u);
  EXPECT_EQ(history.items()[0]["operation"].string(), "prune");
  EXPECT_EQ(history.items()[0]["shortcuts"].string(), "magnitude:sparsity=0.5");
  EXPECT_THAT(vitrine("info " + out("half.gguf")).out, HasSubstr("prune: shortcuts magnitude:sparsity=0.5"));
  EXPECT_EQ(json("info " + model_.path())["history"].items().size(), 0u);
}

TEST_F(Surgery, InfoLooksAtAFileWhoseHistoryIsNone) {
  ASSERT_EQ(vitrine("convert " + model_.path() + " -o " + out("folder")).code, 0);
  std::ifstream file(out("folder/config.json"));
  Json config = parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "config.json");
  std::ofstream(out("folder/config.json")) << config.set("vitrine", Json::object().set("history", Json::array().push("x").push(3.0))).dump();
  EXPECT_THAT(json("info " + out("folder"))["history"].string(), HasSubstr("unreadable"));
  EXPECT_EQ(vitrine("convert " + out("folder") + " -o " + out("a.gguf")).code, 1);
}

/// Whatever scale the search finds, a block of powers of two holds its own numbers and zeros exactly.
TEST_F(Surgery, FloatingBlocksTakeZeros) {
  const std::string model = (fs::path(VITRINE_TEST_DATA) / "golden/decoders/gemma3/model").string();  // its attn_out are whole blocks
  ASSERT_EQ(vitrine("quantize " + model + " --type MXFP4 --no-price -o " + out("a.gguf")).code, 0);
  json("prune " + out("a.gguf") + " --method drop_heads --heads L0H0 --no-price -o " + out("b.gguf"));
  EXPECT_EQ(json("info " + out("b.gguf"))["tensors_by_type"].dump(), json("info " + out("a.gguf"))["tensors_by_type"].dump());
  EXPECT_EQ(json("info " + out("a.gguf"))["tensors_by_type"]["MXFP4"].integer(), 7);
}

}  // namespace
}  // namespace vitrine
