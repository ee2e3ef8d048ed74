// Strings that llama.cpp's and XGrammar's own tests accept and refuse, under their grammars and schemas.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "core/base/json.h"
#include "core/decode/grammar/grammar.h"
#include "core/decode/grammar/json_schema.h"

namespace vitrine {
namespace {

Grammar grammar_of(const Json& entry) {
  if (entry.has("named")) return Grammar::parse(named_grammar(entry["named"].string()).text);
  if (entry.has("schema")) return Grammar::parse(grammar_of_json_schema(entry["schema"]));
  return Grammar::parse(entry["grammar"].string());
}

TEST(Grammar, AnswersAsPublished) {
  const std::string path = std::string(VITRINE_TEST_DATA) + "/core/decode/grammar/published.json";
  std::ifstream file(path, std::ios::binary);
  const Json published = parse_json(std::string{std::istreambuf_iterator<char>(file), {}}, path);
  std::size_t strings = 0;
  for (const Json& entry : published.items()) {
    SCOPED_TRACE(entry["name"].string());
    const Grammar grammar = grammar_of(entry);
    for (const Json& text : entry["accepts"].items()) EXPECT_TRUE(check_text(grammar, text.string()).accepted) << text.dump() << " at " << check_text(grammar, text.string()).bytes;
    for (const Json& text : entry["refuses"].items()) EXPECT_FALSE(check_text(grammar, text.string()).accepted) << text.dump();
    strings += entry["accepts"].items().size() + entry["refuses"].items().size();
  }
  EXPECT_GT(strings, 500u);
}

}  // namespace
}  // namespace vitrine
