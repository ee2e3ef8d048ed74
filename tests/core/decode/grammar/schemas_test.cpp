// Schemas of scripts/parity-json-schema with instances that jsonschema calls valid, and how refusals read.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/decode/grammar/json_schema.h"
#include "core/decode/grammar/random_text.h"

namespace vitrine {
namespace {

std::string error_of(const std::string& schema) {
  try {
    Grammar::parse(grammar_of_json_schema(parse_json(schema, "s"), "s"));
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

bool accepts(const std::string& schema, std::string_view text) {
  return check_text(Grammar::parse(grammar_of_json_schema(parse_json(schema, "s"))), text).accepted;
}

TEST(JsonSchema, AcceptsInstancesAndMakesJson) {
  const std::string path = std::string(VITRINE_TEST_DATA) + "/core/decode/grammar/schemas.json";
  std::ifstream file(path, std::ios::binary);
  const Json rows = parse_json(std::string{std::istreambuf_iterator<char>(file), {}}, path);
  EXPECT_GT(rows.items().size(), 30u);
  for (const Json& row : rows.items()) {
    SCOPED_TRACE(row["schema"].dump());
    const Grammar grammar = Grammar::parse(grammar_of_json_schema(row["schema"]));
    for (const Json& text : row["accepts"].items()) EXPECT_TRUE(check_text(grammar, text.string()).accepted) << text.string();
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      std::mt19937_64 random(seed);
      const std::string text = random_text(grammar, 40, random);
      EXPECT_TRUE(check_text(grammar, text).accepted);
      // Names drawn twice in an object that is open are the one thing that a stricter reader than JSON itself refuses.
      try {
        parse_json(text, "a random text");
      } catch (const Error& error) {
        EXPECT_NE(std::string_view(error.what()).find("once"), std::string_view::npos) << error.what() << ": " << text;
      }
    }
  }
}

TEST(JsonSchema, RefusesWhatAGrammarCannotSay) {
  EXPECT_EQ(error_of(R"({"properties": {"a": {"not": {}}}})"), "s #/properties/a/not: expected a word that a grammar can follow, found 'not'");
  EXPECT_EQ(error_of(R"({"type": "array", "uniqueItems": true})"), "s #/uniqueItems: expected false, found true");
  EXPECT_EQ(error_of(R"({"type": "kaboom"})"), "s #/type: expected object, array, string, integer, number, boolean or null, found \"kaboom\"");
  EXPECT_EQ(error_of(R"({"type": 123})"), "s #/type: expected object, array, string, integer, number, boolean or null, found 123");
  EXPECT_EQ(error_of(R"({"$ref": "http://x/y"})"), "s #/$ref: expected a place in this schema, as in #/$defs/name, found 'http://x/y'");
  EXPECT_EQ(error_of(R"({"format": "email"})"), "s #/format: expected date, time, date-time, uuid or ipv4, found \"email\"");
  EXPECT_NE(error_of(R"({"pattern": "(?=a)b"})").find("s #/pattern '(?=a)b' at character 2: expected a group ( or (?:"), std::string::npos);
  EXPECT_NE(error_of(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})").find("#/oneOf"), std::string::npos);
  EXPECT_NE(error_of(R"({"allOf": [{"type": "string"}, {"type": "integer"}]})").find("have none in common"), std::string::npos);
  EXPECT_NE(error_of(R"({"$ref": "#"})"), "accepted");
  EXPECT_NE(error_of(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})"), "accepted");
  EXPECT_NE(error_of(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})").find("never ends"), std::string::npos);
}

/// The schemas of llama.cpp's converter test whose grammars it compares as text, by what they mean.
TEST(JsonSchema, MeansWhatItSays) {
  const std::string shared = R"({"properties": {"a": {"type": "integer"}, "aa": {"type": "integer"}}, "additionalProperties": {"type": "integer"}})";
  for (const char* good : {R"({"a":1})", R"({"a":1,"aa":2})", R"({"ab":1})", R"({"aaa":1,"":2})", R"({"a":1,"b":2,"c":3})"}) EXPECT_TRUE(accepts(shared, good)) << good;
  for (const char* bad : {R"({"aa":1,"a":2})", R"({"b":1,"a":2})", R"({"\u0061":1})", R"({"a":"x"})"}) EXPECT_FALSE(accepts(shared, bad)) << bad;
  const std::string number = R"({"type": "number", "minimum": -0.25, "exclusiveMaximum": 12.5})";
  for (const char* good : {"-0.25", "-0.2499", "0", "0.0", "12.4999", "12.05", "3"}) EXPECT_TRUE(accepts(number, good)) << good;
  for (const char* bad : {"-0.2501", "-0.3", "-1", "12.5", "12.50", "13", "01", "1e1"}) EXPECT_FALSE(accepts(number, bad)) << bad;
  for (int low = -130; low <= 130; low += 13) {
    for (int high = low; high <= 1300; high += 97) {
      const Grammar grammar = Grammar::parse(grammar_of_json_schema(Json::object().set("type", "integer").set("minimum", low).set("maximum", high)));
      for (int x = low - 3; x <= high + 3; ++x) ASSERT_EQ(check_text(grammar, std::to_string(x)).accepted, x >= low && x <= high) << x << " in " << low << ".." << high;
    }
  }
  EXPECT_TRUE(accepts(R"({"format": "date"})", "\"2000-02-29\"") && accepts(R"({"format": "date"})", "\"2024-02-29\""));
  EXPECT_FALSE(accepts(R"({"format": "date"})", "\"1900-02-29\"") || accepts(R"({"format": "date"})", "\"2023-04-31\""));
}

}  // namespace
}  // namespace vitrine
