#include "core/text/stages.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/text/pipeline.h"
#include "core/text/regular_expression.h"
#include "core/text/trainer.h"
#include "core/text/trie.h"

namespace vitrine {
namespace {

std::vector<std::string> matches(const std::string& pattern, std::string_view text) {
  std::vector<std::string> found;
  RegularExpression(pattern, "test").each_match(text, [&](TextRange range) { found.emplace_back(text.substr(range.begin, range.size())); });
  return found;
}

using Texts = std::vector<std::string>;

// Where Oniguruma's Ruby syntax differs from PCRE2's; each as Hugging Face's tokenizers answers.
TEST(RegularExpression, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(matches("b$", "ab\nab"), (Texts{"b", "b"}));
  EXPECT_EQ(matches("(?m)a.b", "a\nbxb"), (Texts{"a\nb"}));
  EXPECT_EQ(matches("\\h", "g1f "), (Texts{"1", "f"}));
  EXPECT_EQ(matches("x{1,2}+x", "xxxx"), (Texts{"xxxx"}));  // the interval is not possessive
  EXPECT_EQ(matches("a{2}+", "aaaaa"), (Texts{"aaaa"}));
  EXPECT_EQ(matches("x{,2}y", "xxxy"), (Texts{"xxy"}));
  EXPECT_EQ(matches("[a[bc]]", "abd]"), (Texts{"a", "b"}));
  EXPECT_EQ(matches("\\p{^L}", "a1"), (Texts{"1"}));
  EXPECT_EQ(matches("\\s", "a\u180e\u2003"), (Texts{"\u2003"}));
  EXPECT_EQ(matches("\\p{Han}", "\u4e2d\u3002"), (Texts{"\u4e2d"}));
  EXPECT_EQ(matches("\\w+", "a\u0301_1\u00b2 -"), (Texts{"a\u0301_1\u00b2"}));
  EXPECT_EQ(matches("(?=(\\d{3})+(?!\\d))", "a1234567b").size(), 2u);
  EXPECT_EQ(matches("\\p{L}+", "ab\xff" "cd"), (Texts{"ab", "cd"}));
  EXPECT_THROW(RegularExpression("[a&&b]", "test"), Error);
  EXPECT_THROW(RegularExpression("(", "test"), Error);
}

TEST(Trie, FindsWhatWasPutIn) {
  const Trie trie({{"a", 1}, {"abc", 2}, {"b\xff", 3}, {"", 4}, {"abc", 5}});
  EXPECT_EQ(trie.find("abc"), 5);  // of equal keys the last
  EXPECT_EQ(trie.find("b\xff"), 3);
  EXPECT_EQ(trie.find("ab"), Trie::no_value);
  EXPECT_EQ(trie.find(""), Trie::no_value);
  EXPECT_EQ(trie.longest("abd").bytes, 1u);
  EXPECT_EQ(Trie().longest("x").bytes, 0u);
}

TEST(Stages, UnknownOnesAreNamedWithTheNearest) {
  try {
    make_normalizers(Json::object().set("type", "Lowercas"), "tokenizer.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string_view(error.what()).find("Lowercase (the nearest)"), std::string_view::npos) << error.what();
  }
  try {
    pre_tokenizer_named("qwen3", "x.gguf");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string_view(error.what()).find("qwen2 (the nearest)"), std::string_view::npos) << error.what();
    EXPECT_NE(std::string_view(error.what()).find("deepseek-v3"), std::string_view::npos);
  }
}

std::string cut(const char* name, std::string_view text) {
  AlignedText whole(text, 0);
  CutText pieces{whole, {{0, text.size()}}};
  for (const auto& stage : make_pre_tokenizers(pre_tokenizer_named(name, "x").pre_tokenizer, "x")) stage->apply(pieces);
  std::string joined;
  for (const TextRange& piece : pieces.pieces) joined += std::string(whole.text().substr(piece.begin, piece.size())) + "|";
  return joined;
}

/// A character of a regular expression that an editor composed would make a range that ends before it begins.
TEST(Stages, EveryNamedPreTokenizerCutsAndLosesNothing) {
  const std::string text = "Don't  \u1f5f\u1f7d\u1fd3 42195 \uf900\uac00\u8c48 \u0e01\u0e33\r\n\t x_y?! \u00e9\u0301 \U00010410";
  for (const std::string& name : pre_tokenizer_names()) {
    AlignedText whole(text, 0);
    CutText pieces{whole, {{0, text.size()}}};
    std::size_t bytes = 0;
    for (const auto& stage : make_pre_tokenizers(pre_tokenizer_named(name, "x").pre_tokenizer, "x")) stage->apply(pieces);
    for (const TextRange& piece : pieces.pieces) {
      if (name != "whitespace") EXPECT_EQ(piece.begin, bytes) << name;
      EXPECT_GT(piece.end, piece.begin) << name;
      bytes = piece.end;
    }
    EXPECT_EQ(bytes, whole.text().size()) << name;
  }
}

TEST(Stages, NamedPreTokenizersCutByTheirPublishedRules) {
  EXPECT_EQ(cut("gpt-2", "I'll go  12345."), "I|'ll| go| | 12345|.|");
  EXPECT_EQ(cut("llama-bpe", "I'LL go  12345."), "I|'LL| go| | |123|45|.|");
  EXPECT_EQ(cut("qwen2", "a 12\n\nb"), "a| |1|2|\n\n|b|");
  EXPECT_EQ(cut("smollm", "a 12"), "a| |1|2|");
  EXPECT_EQ(cut("gpt-4o", "camelCase's/x"), "camel|Case's|/x|");
  EXPECT_EQ(cut("tekken", "camelCase's"), "camel|Case|'s|");
  EXPECT_EQ(cut("deepseek-v3", "x 1234 \u4e2d\u6587"), "x| |123|4| |\u4e2d\u6587|");
  EXPECT_EQ(cut("kimi-k2", "ab\u4e2d\u6587""cd"), "ab|\u4e2d\u6587|cd|");
  EXPECT_EQ(cut("superbpe", "a 1234567"), "a |1|234|567|");
  EXPECT_EQ(cut("afmoe", "12345"), "12|345|");
  EXPECT_EQ(cut("afmoe", "\uf900\ufa6d\u1100a"), "\uf900\ufa6d\u1100|a|");
  EXPECT_EQ(cut("afmoe", "\ue000a"), "\ue000a|");  // private use, between Hangul and U+F900
  EXPECT_EQ(cut("deepseek-llm", "a \u1f7d\u1fd3\u1fdb\u1fbe b12\u4e00"), "a| |\u1f7d\u1fd3\u1fdb\u1fbe| b|1|2|\u4e00|");
  EXPECT_EQ(cut("bloom", "Hi, (all) you"), "Hi|, (|all|)| you|");
}

TEST(Stages, OffsetsLeadThroughNormalization) {
  AlignedText text("e\u0301X", 10);
  for (const auto& stage : make_normalizers(Json::object().set("type", "Sequence").set("normalizers", Json::array().push(Json::object().set("type", "NFC"))
                                                                                      .push(Json::object().set("type", "Lowercase"))), "x")) {
    stage->apply(text);
  }
  EXPECT_EQ(text.text(), "\u00e9x");
  EXPECT_EQ(text.origin({0, 2}), (TextRange{10, 13}));
  EXPECT_EQ(text.origin({2, 3}), (TextRange{13, 14}));
}

/// A token that stands for itself alone is none of the model's: where it may not stand, its characters are read as others are.
TEST(AddedTokens, AreNotTheModels) {
  const Json vocab = parse_json(R"({"[UNK]": 0, "a": 1, "##b": 2, "##c": 3, "b": 4})", "vocab");
  const Json model = Json::object().set("type", "WordPiece").set("vocab", vocab).set("unk_token", "[UNK]").set("continuing_subword_prefix", "##").set("max_input_chars_per_word", 100);
  const Json added = Json::object().set("id", 5).set("content", "abc").set("special", false).set("single_word", true).set("normalized", false);
  const Json json = Json::object().set("added_tokens", Json::array().push(added)).set("model", model).set("pre_tokenizer", Json::object().set("type", "Whitespace"));
  const Pipeline tokenizer(read_tokenizer_json(json, "tokenizer.json"));
  const auto ids_of = [&](const char* text) {
    std::vector<TokenId> ids;
    for (const Token& token : tokenizer.encode(text, {})) ids.push_back(token.id);
    return ids;
  };
  EXPECT_EQ(ids_of("abc a"), (std::vector<TokenId>{5, 1}));
  EXPECT_EQ(ids_of("abcb"), (std::vector<TokenId>{1, 2, 3, 2}));
  EXPECT_EQ(tokenizer.piece(5), "abc");
}

TEST(AddedTokens, WhatOneTookWithItMayBeOneAgain) {
  const Json vocab = parse_json(R"({"[UNK]": 0, "a": 1})", "vocab");
  const Json model = Json::object().set("type", "WordLevel").set("vocab", vocab).set("unk_token", "[UNK]");
  Json added = Json::array();
  added.push(Json::object().set("id", 2).set("content", "?").set("rstrip", true).set("normalized", false));
  added.push(Json::object().set("id", 3).set("content", "\n").set("rstrip", true).set("normalized", false));
  added.push(Json::object().set("id", 4).set("content", "\t").set("rstrip", true).set("lstrip", true).set("normalized", false));
  const Pipeline tokenizer(read_tokenizer_json(Json::object().set("added_tokens", added).set("model", model), "tokenizer.json"));
  const auto ids_of = [&](const char* text) {
    std::vector<TokenId> ids;
    for (const Token& token : tokenizer.encode(text, {})) ids.push_back(token.id);
    return ids;
  };
  EXPECT_EQ(ids_of("a?\na"), (std::vector<TokenId>{1, 2, 3, 1}));  // as `tokenizers` 0.23 answers
  EXPECT_EQ(ids_of("a\t\r\ta"), (std::vector<TokenId>{1, 4, 1}));
}

class LearntTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(LearntTokenizer, EncodesPairsAndCuts) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the cat sat on the mat and the cat ran\nno one saw the cats\n";
  vitrine::Run run;
  for (const TokenizerTrainer* trainer : all_tokenizer_trainers()) {
    if (trainer->name != GetParam()) continue;
    const Json json = trainer->train(text, {.vocabulary = 300}, run);
    EXPECT_EQ(trainer->train(text, {.vocabulary = 300}, run).dump(), json.dump());
    EXPECT_THROW(trainer->train(text, {.vocabulary = 5}, run), Error);
    const Pipeline tokenizer(read_tokenizer_json(json, "tokenizer.json"));
    const std::vector<Token> all = tokenizer.encode("the cat sat", {});
    std::vector<TokenId> ids;
    for (const Token& token : tokenizer.encode("the cat sat", {.add_special = false})) ids.push_back(token.id);
    EXPECT_EQ(tokenizer.decode(ids), "the cat sat");
    EXPECT_EQ(ids.size(), 3u);
    const std::vector<Token> pair = tokenizer.encode_pair("the cat sat on the mat", "the cat", {.max_tokens = all.size() + 2});
    EXPECT_EQ(pair.size(), all.size() + 2);
    EXPECT_TRUE(std::any_of(pair.begin(), pair.end(), [](const Token& token) { return token.text == 1 && token.type == 1 && token.end == 7; }));
  }
}

INSTANTIATE_TEST_SUITE_P(Trainers, LearntTokenizer, testing::Values("bpe", "wordpiece", "unigram"));

}  // namespace
}  // namespace vitrine
