#include "core/text/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"

namespace vitrine {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> cases_of(const std::string& text) {
  const std::string border = "\n__ggml_vocab_test__\n";
  std::vector<std::string> cases;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(border, begin)) != std::string::npos; begin = end + border.size()) {
    cases.push_back(text.substr(begin, end - begin));
  }
  return cases;
}

class PublishedCases : public testing::TestWithParam<const char*> {};

// llama.cpp's published cases: nothing added, special tokens in the text not recognised.
TEST_P(PublishedCases, AllPass) {
  const char* data = std::getenv("VITRINE_DATA");
  if (!data) GTEST_SKIP() << "VITRINE_DATA is not set: the published tokenizer cases are not here";
  const std::filesystem::path file = std::filesystem::path(data) / "tokenizers" / "gguf" / (std::string("ggml-vocab-") + GetParam() + ".gguf");
  const Checkpoint checkpoint = open_checkpoint(file);
  const auto tokenizer = load_tokenizer({file.string(), &checkpoint.metadata, {}});
  ASSERT_NE(tokenizer, nullptr);
  const bool keeps_bytes = tokenizer->model() != "wordpiece";
  const std::vector<std::string> texts = cases_of(read(file.string() + ".inp"));
  std::istringstream lines(read(file.string() + ".out"));
  ASSERT_GE(texts.size(), 40u);
  for (const std::string& text : texts) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream words(line);
    std::vector<TokenId> expected, found;
    for (TokenId id; words >> id;) expected.push_back(id);
    std::size_t covered = 0;
    for (const Token& token : tokenizer->encode(text, {false, false})) {
      found.push_back(token.id);
      EXPECT_LE(token.begin, token.end);
      EXPECT_LE(token.end, text.size());
      EXPECT_TRUE(token.begin == covered || !keeps_bytes) << text;  // offsets leave no byte out
      covered = token.end;
    }
    EXPECT_EQ(found, expected) << text;
    EXPECT_TRUE(tokenizer->decode(found) == text || !keeps_bytes) << text;
    EXPECT_TRUE(covered == text.size() || !keeps_bytes) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, PublishedCases, testing::Values("gpt-2", "llama-spm", "bert-bge"));

/// A folder with hand-made tokenizer files, gone with the test.
class TokenizerFolder : public testing::Test {
 protected:
  TokenizerFolder() : folder_(std::filesystem::path(testing::TempDir()) / ("tokenizer" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~TokenizerFolder() override { std::filesystem::remove_all(folder_); }
  void write(const char* name, const std::string& text) { std::ofstream(folder_ / name, std::ios::binary) << text; }
  std::unique_ptr<Tokenizer> load() { return load_tokenizer({folder_.string(), nullptr, folder_}); }
  static std::vector<TokenId> ids(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {}) {
    std::vector<TokenId> result;
    for (const Token& token : tokenizer.encode(text, options)) result.push_back(token.id);
    return result;
  }
  std::filesystem::path folder_;
};

using Ids = std::vector<TokenId>;

TEST_F(TokenizerFolder, NothingIsNoTokenizer) { EXPECT_EQ(load(), nullptr); }

TEST_F(TokenizerFolder, ReadsVocabTxt) {
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\n!\ncafe\n\u6771\n");
  const auto tokenizer = load();
  EXPECT_EQ(ids(*tokenizer, "Unaffable CAF\u00c9!"), (Ids{2, 5, 6, 7, 9, 8, 3}));
  EXPECT_EQ(ids(*tokenizer, "un[MASK]"), (Ids{2, 5, 4, 3}));
  EXPECT_EQ(ids(*tokenizer, "unx \u6771\u6771", {false, false}), (Ids{1, 10, 10}));
  const auto tokens = tokenizer->encode("caf\u00e9 un", {false, false});
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].end, 5u);
  EXPECT_EQ(tokens[1].begin, 6u);
}

const char* const tiny_bpe = R"({"added_tokens": [{"id": 8, "content": "<s>", "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}, "decoder": {"type": "ByteLevel"},
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}]},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "\u0120": 3, "ab": 4, "abc": 5, "\u0120a": 6, "bc": 7},
            "merges": MERGES}})";

std::string replaced(std::string text, const std::string& what, const std::string& with) { return text.replace(text.find(what), what.size(), with); }

TEST_F(TokenizerFolder, ReadsByteLevelBpeInBothSpellings) {
  for (const char* merges : {R"(["a b", "ab c", "\u0120 a"])", R"([["a", "b"], ["ab", "c"], ["\u0120", "a"]])"}) {
    write("tokenizer.json", replaced(tiny_bpe, "MERGES", merges));
    const auto tokenizer = load();
    EXPECT_EQ(ids(*tokenizer, "abc ab<s>ca"), (Ids{8, 5, 3, 4, 8, 2, 0}));
    EXPECT_EQ(tokenizer->decode(Ids{5, 3, 4}), "abc ab");
    EXPECT_TRUE(tokenizer->is_special(8));
  }
}

TEST_F(TokenizerFolder, ReadsVocabJsonWithMerges) {
  write("vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  write("merges.txt", "#version: 0.2\na b\n");
  EXPECT_EQ(ids(*load(), "abba"), (Ids{2, 1, 0}));
}

TEST_F(TokenizerFolder, ReadsSentencePieceWrittenAsMerges) {
  write("tokenizer.json", R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
      {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "byte_fallback": true, "vocab": {"<unk>": 0, "<0x0A>": 1, "\u2581": 2, "h": 3, "i": 4, "hi": 5, "\u2581hi": 6},
              "merges": ["h i", "\u2581 hi"]}})");
  const auto tokenizer = load();
  EXPECT_EQ(ids(*tokenizer, "hi hi\n"), (Ids{6, 6, 1}));
  EXPECT_EQ(tokenizer->decode(Ids{6, 6, 1}), "hi hi\n");
}

/// Long runs must not cost their square.
TEST_F(TokenizerFolder, LongPiecesAreQuick) {
  write("tokenizer.json", replaced(tiny_bpe, "MERGES", R"(["a b", "ab c", "\u0120 a"])"));
  const auto tokenizer = load();
  std::string text;
  for (int i = 0; i < 200000; ++i) text += "ab";
  EXPECT_EQ(tokenizer->encode(text, {false, false}).size(), 200000u);
}

TEST_F(TokenizerFolder, BrokenFilesAreOneLine) {
  const std::string good = replaced(tiny_bpe, "MERGES", "[]");
  const std::vector<std::string> broken{
      "{", "[]", "{}", R"({"model": {"type": "Unigram", "vocab": []}})", replaced(good, "\"a\": 0", "\"a\": -1"),
      replaced(good, "\"a\": 0", "\"a\": 3999999"), replaced(good, "\"a\": 0", "\"a\": \"x\""), replaced(tiny_bpe, "MERGES", "[\"ab\"]"),
      replaced(tiny_bpe, "MERGES", "7"), replaced(good, "ByteLevel", "Nothing"), replaced(good, "{\"id\": \"<s>\"", "{\"id\": \"<q>\""),
      replaced(good, R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})",
               R"({"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated"})")};
  for (const std::string& text : broken) {
    write("tokenizer.json", text);
    try {
      load();
      ADD_FAILURE() << "opened: " << text.substr(0, 60);
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
      EXPECT_NE(std::string_view(error.what()).find("tokenizer.json"), std::string_view::npos) << error.what();
    }
  }
}

TEST_F(TokenizerFolder, ChatPromptsAreChatMl) {
  write("vocab.json", R"({"a": 0})");
  write("merges.txt", "");
  const ChatMessage hello{"user", "Hi"};
  const std::string plain = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  const auto prompt = [&](const std::string& chat) {
    write("tokenizer_config.json", Json::object().set("chat_template", chat).dump());
    return chat_prompt(*load(), {&hello, 1});
  };
  EXPECT_EQ(prompt("{{ '<|im_start|>' + role }}<|im_end|>"), plain);
  EXPECT_EQ(prompt("{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}"), "<|im_start|>system\nBe kind.<|im_end|>\n" + plain);
  EXPECT_EQ(prompt("<|im_start|>system\n{{ system }}<|im_end|>"), plain);  // computed: not copied as it is written
  EXPECT_THROW(prompt("[INST] {{ x }}"), Error);
}

}  // namespace
}  // namespace vitrine
