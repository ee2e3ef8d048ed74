#include "core/text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

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

// llama.cpp's published cases: nothing added, special tokens in the text not recognised.
TEST(Tokenizer, Gpt2EqualsThePublishedCases) {
  const char* data = std::getenv("VITRINE_DATA");
  if (!data) GTEST_SKIP() << "VITRINE_DATA is not set: the published tokenizer cases are not here";
  const std::filesystem::path file = std::filesystem::path(data) / "tokenizers" / "gguf" / "ggml-vocab-gpt-2.gguf";
  const Checkpoint checkpoint = open_checkpoint(file);
  const auto tokenizer = load_tokenizer({file.string(), &checkpoint.metadata, {}});
  ASSERT_NE(tokenizer, nullptr);
  const std::vector<std::string> texts = cases_of(read(file.string() + ".inp"));
  std::istringstream lines(read(file.string() + ".out"));
  ASSERT_GE(texts.size(), 40u);
  for (const std::string& text : texts) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream words(line);
    std::vector<TokenId> expected, found;
    for (TokenId id; words >> id;) expected.push_back(id);
    for (const Token& token : tokenizer->encode(text, {false, false})) found.push_back(token.id);
    EXPECT_EQ(found, expected) << text;
    EXPECT_EQ(tokenizer->decode(found), text);
  }
}

}  // namespace
}  // namespace vitrine
