// What transformers' logits processors make of random scores (tests/golden/make_samplers.py), and what others do (scripts/parity-samplers).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/core/decode/samplers_test_support.h"

namespace vitrine {
namespace {

std::vector<TokenId> ids_of(const Json& list) {
  std::vector<TokenId> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<TokenId>(id.integer()));
  return ids;
}

std::vector<float> scores_of(const Json& list) {
  std::vector<float> scores;
  for (const Json& score : list.items()) scores.push_back(score.is_null() ? never_chosen : static_cast<float>(score.number()));
  return scores;
}

/// Scores may be moved all together: only their differences count.
void expect_same(const std::vector<float>& seen, const std::vector<float>& expected, const std::string& where) {
  const float shift = highest(seen) - highest(expected);
  const bool is_temperature = where.starts_with("temperature");
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i] == never_chosen, expected[i] == never_chosen) << where << ", token " << i;
    if (expected[i] == never_chosen || seen[i] == never_chosen) continue;
    EXPECT_NEAR(seen[i] - (is_temperature ? shift : 0.0f), expected[i], 2e-5 * (1.0 + std::abs(expected[i]))) << where << ", token " << i;
  }
}

struct Tally {
  std::map<std::string, int> tested, changed;
};

/// Cases of a file; those of which nothing is left are errors here.
Tally test_all(const std::filesystem::path& path) {
  std::ifstream file(path);
  const Json golden = parse_json(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()), path.string());
  Tally tally;
  for (const Json& one : golden["cases"].items()) {
    std::vector<std::string> words;
    std::string where;
    for (const Json& word : one["options"].items()) where += words.emplace_back(word.string()) + " ";
    const std::vector<float> scores = scores_of(one["scores"]), expected = scores_of(one["expected"]);
    if (highest(expected) == never_chosen) continue;
    const Step step{.prompt = ids_of(one["prompt"]), .made = ids_of(one["made"]), .source = ids_of(one["source"]), .ends = ids_of(one["ends"])};
    expect_same(scores_after(words, scores, step), expected, where + "case " + std::to_string(&one - golden["cases"].items().data()));
    const std::string name = words.front().substr(0, words.front().find('='));
    ++tally.tested[name];
    tally.changed[name] += expected != scores;
  }
  return tally;
}

TEST(SamplersOfTransformers, MakeTheSame) {
  const Tally tally = test_all(std::filesystem::path(VITRINE_TEST_DATA) / "core/decode/samplers.json");
  EXPECT_EQ(tally.tested.size(), 18u);
  for (const auto& [name, count] : tally.tested) {
    EXPECT_GE(count, 20) << name;
    EXPECT_GE(tally.changed.at(name), 5) << name;
  }
}

TEST(SamplersOfOthers, MakeTheSame) {
  const char* path = std::getenv("VITRINE_SAMPLER_CASES");
  if (!path) GTEST_SKIP() << "VITRINE_SAMPLER_CASES names no file: see scripts/parity-samplers";
  for (const auto& [name, count] : test_all(path).changed) EXPECT_GT(count, 0) << name;
}

}  // namespace
}  // namespace vitrine
