// Searches over tiny models against transformers: tests/golden/make_searches.py made the expected texts.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "core/base/json.h"
#include "tests/core/decode/search_runner.h"

namespace vitrine {
namespace {

std::vector<TokenId> ids_of(const Json& list) {
  std::vector<TokenId> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<TokenId>(id.integer()));
  return ids;
}

Asked asked_of(const std::string& search, const Json& tested) {
  Asked asked{.search = search, .prompt = ids_of(tested["prompt"]), .ends = ids_of(tested["ends"]),
              .max_tokens = static_cast<std::size_t>(tested["max_tokens"].integer()), .texts = static_cast<std::size_t>(tested["texts"].integer())};
  if (tested.has("source")) asked.source = ids_of(tested["source"]);
  for (const auto& [name, value] : tested["settings"].members()) {
    std::vector<std::string>& words = asked.settings[name];
    if (value.is_string()) words.push_back(value.string());
    else for (const Json& word : value.items()) words.push_back(word.string());
  }
  return asked;
}

class GoldenSearch : public testing::TestWithParam<const char*> {};

TEST_P(GoldenSearch, MakesTheTextsOfTransformers) {
  const std::string search = GetParam();
  std::ifstream file(golden_folder() / "searches" / (search + ".json"), std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const Json cases = parse_json(text, search + ".json");
  std::map<std::string, std::unique_ptr<ModelOnTest>> models;
  std::map<std::string, std::size_t> of_family;
  double furthest = 0.0;
  for (const Json& tested : cases.items()) {
    SCOPED_TRACE(tested.dump());
    std::unique_ptr<ModelOnTest>& on = models[tested["model"].string()];
    if (!on) on = std::make_unique<ModelOnTest>(golden_folder() / tested["model"].string() / "model", Precision::exact, DType::f32);
    ++of_family[tested["family"].string()];
    const std::vector<GeneratedText> texts = run_search(*on, asked_of(search, tested));
    const Json::Array& expected = tested["expected"].items();
    ASSERT_EQ(texts.size(), expected.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(ids_of(texts[i]), ids_of(expected[i]["ids"])) << "text " << i;
      EXPECT_EQ(texts[i].ended, expected[i]["ended"].boolean()) << "text " << i;
      if (!expected[i].has("score")) continue;
      ASSERT_TRUE(texts[i].score.has_value());
      EXPECT_NEAR(*texts[i].score, expected[i]["score"].number(), 1e-4) << "text " << i;
      furthest = std::max(furthest, std::abs(*texts[i].score - expected[i]["score"].number()));
    }
  }
  for (const auto& [family, count] : of_family) EXPECT_GE(count, 20u) << family;
  RecordProperty("furthest_score", std::to_string(furthest));
}

INSTANTIATE_TEST_SUITE_P(Searches, GoldenSearch, testing::Values("beam", "diverse_beam", "constrained_beam", "contrastive", "guided", "dola"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace vitrine
