// Small vocabularies with texts and the tokens that Hugging Face's tokenizers or sentencepiece gave them; made by
// scripts/parity-tokenizers --cases, which compares many more texts.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/json.h"
#include "core/text/characters.h"
#include "core/text/tokenizer.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(VITRINE_TEST_DATA) / "core/text/cases")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class TrainedCases : public testing::TestWithParam<std::string> {};

TEST_P(TrainedCases, TokensAndStream) {
  const fs::path folder = fs::path(VITRINE_TEST_DATA) / "core/text/cases" / GetParam();
  const auto tokenizer = load_tokenizer({folder.string(), nullptr, folder});
  ASSERT_NE(tokenizer, nullptr);
  std::ifstream file(folder / "cases.json", std::ios::binary);
  const Json cases = parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "cases.json");
  // SentencePiece itself knows no special tokens in a text.
  const bool plain = GetParam().starts_with("spm");
  ASSERT_GE(cases.items().size(), 30u);
  for (const Json& one : cases.items()) {
    const std::string& text = one["text"].string();
    std::vector<TokenId> expected, found;
    for (const Json& id : one["ids"].items()) expected.push_back(static_cast<TokenId>(id.integer()));
    for (const Token& token : tokenizer->encode(text, {.add_special = !plain, .parse_special = !plain})) {
      found.push_back(token.id);
      ASSERT_LE(token.begin, token.end);
      ASSERT_LE(token.end, text.size());
    }
    EXPECT_EQ(found, expected) << text;
    TokenStream stream(*tokenizer);
    std::string said;
    for (const TokenId id : found) {
      const std::string now = stream.push(id);
      EXPECT_TRUE(is_utf8(now)) << text;
      said += now;
    }
    EXPECT_EQ(said + stream.finish(), tokenizer->decode(found)) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TrainedCases, testing::ValuesIn(case_names()), [](const auto& one) {
  std::string name = one.param;
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '-'; }, '_');
  return name;
});

}  // namespace
}  // namespace vitrine
