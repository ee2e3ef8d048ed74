// `vitrine generate`, as a shell starts it: what is drawn, ended, and put out.
#include <gtest/gtest.h>

#include <set>

#include "core/base/json.h"
#include "tests/experiments/run_program.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

class Generate : public testing::Test {
 protected:
  std::string command(const std::string& rest) const { return std::string(VITRINE_PROGRAM) + " generate " + model.path() + " --quiet " + rest; }
  Json json(const std::string& rest) const {
    const Answer answer = run(command("--json " + rest));
    EXPECT_EQ(answer.code, 0) << rest << answer.out;
    return answer.code == 0 ? parse_json(answer.out, "stdout") : Json();
  }
  void expect_refused(const std::string& rest, const std::string& words) const {
    const Answer answer = run(command(rest));
    EXPECT_EQ(answer.code, 2) << rest;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;  // one line
    EXPECT_NE(answer.out.find(words), std::string::npos) << answer.out;
  }
  TokenizingModel model;
};

/// Ids and log-probabilities in every digit.
std::string tokens_of(const Json& result) {
  std::string all;
  for (const Json& text : result["texts"].items()) all += text["tokens"].dump() + "\n";
  return all;
}

TEST_F(Generate, ATextDoesNotDependOnThreadsOrCompany) {
  for (const char* precision : {"fast", "exact"}) {
    const std::string how = std::string("--text 'abc ab' --max-tokens 20 --temperature 1.5 --n 19 --seed 5 --precision ") + precision;
    const std::string alone = tokens_of(json(how + " --batch 1 --threads 1"));
    for (const char* company : {" --batch 3 --threads 2", " --batch 8 --threads 1", " --batch 64 --threads 2"}) EXPECT_EQ(tokens_of(json(how + company)), alone) << precision << company;
    const Json fewer = json(std::string("--text 'abc ab' --max-tokens 20 --temperature 1.5 --n 2 --seed 5 --precision ") + precision);
    EXPECT_TRUE(alone.starts_with(tokens_of(fewer))) << "a text depends on how many there are";
    std::set<std::string> different;
    const Json again = json(how);
    for (const Json& text : again["texts"].items()) different.insert(text["text"].string());
    EXPECT_GT(different.size(), 10u);
  }
}

TEST_F(Generate, FilesOfTextsAreRows) {
  const std::string lines = model.write("lines.txt", "abc\nab c\na\n");
  const Json result = json("--lines " + lines + " --max-tokens 5 --precision exact");
  ASSERT_EQ(result["sequences"].items().size(), 3u);
  for (const auto& [row, text] : {std::pair{0, "abc"}, std::pair{1, "ab c"}, std::pair{2, "a"}}) {
    const Json alone = json(std::string("--text '") + text + "' --max-tokens 5 --precision exact");
    EXPECT_EQ(result["sequences"].items()[static_cast<std::size_t>(row)]["tokens"].dump(), alone["tokens"].dump()) << text;
  }
  const Answer csv = run(command("--lines " + lines + " --max-tokens 3 --n 2 --temperature 1 --format csv"));
  EXPECT_TRUE(csv.out.starts_with("id,sample,text,tokens,logprob,ended")) << csv.out;
}

TEST_F(Generate, StopStringsEndATextAndAreCutOff) {
  const Json whole = json("--text 'abc ab' --max-tokens 24 --temperature 1 --seed 2");
  const std::string text = whole["text"].string();
  ASSERT_GT(text.size(), 5u);
  EXPECT_FALSE(whole["ended"].boolean());
  const std::string stop = text.substr(text.size() / 2, 3);
  const Json cut = json("--text 'abc ab' --max-tokens 24 --temperature 1 --seed 2 --stop '" + stop + "'");
  EXPECT_EQ(cut["text"].string(), text.substr(0, text.find(stop)));
  EXPECT_TRUE(cut["ended"].boolean());
  EXPECT_LT(cut["tokens"].items().size(), whole["tokens"].items().size());
  const Answer streamed = run(command("--text 'abc ab' --max-tokens 24 --temperature 1 --seed 2 --stop '" + stop + "'"));
  EXPECT_EQ(streamed.out, cut["text"].string() + "\n");
}

TEST_F(Generate, TheLikeliestOfEachStepAreTold) {
  const Json result = json("--text 'abc' --max-tokens 4 --logprobs 3 --precision exact");
  for (const Json& token : result["tokens"].items()) {
    ASSERT_EQ(token["top"].items().size(), 3u);
    EXPECT_EQ(token["top"].items()[0]["id"].dump(), token["id"].dump());  // greedy
    EXPECT_EQ(token["top"].items()[0]["logprob"].dump(), token["logprob"].dump());
    EXPECT_GE(token["top"].items()[1]["logprob"].number(), token["top"].items()[2]["logprob"].number());
  }
}

TEST_F(Generate, RulesAndModelSettingsAreFollowed) {
  const Json plain = json("--text 'abc' --max-tokens 3 --precision exact");
  const std::string first = plain["tokens"].items()[0]["id"].dump();
  EXPECT_NE(json("--text 'abc' --max-tokens 3 --precision exact --logit-bias " + first + "=-inf")["tokens"].items()[0]["id"].dump(), first);
  EXPECT_EQ(json("--text 'abc' --max-tokens 3 --precision exact --logit-bias ' a=1e6'")["text"].string(), " a a a");
  model.write("generation_config.json", R"({"do_sample": true, "temperature": 0.5, "top_k": 2, "repetition_penalty": 1.3, "num_return_sequences": 3})");
  EXPECT_EQ(json("--text 'abc' --max-tokens 3 --precision exact")["tokens"].dump(), plain["tokens"].dump()) << "followed without being asked";
  const Json values = json("--text 'abc' --max-tokens 3 --defaults model --top-k 5")["signature"]["decoding"];
  EXPECT_EQ(values["search"].string(), "sample");
  EXPECT_EQ(values["values"]["top-k"].number(), 5.0);
  EXPECT_EQ(values["values"]["temperature"].number(), 0.5);
  EXPECT_EQ(values["values"]["repetition-penalty"].number(), 1.3);
  EXPECT_EQ(values["samplers"].dump(), R"(["repetition_penalty","temperature","top_k"])");
  const Answer told = run(std::string(VITRINE_PROGRAM) + " generate " + model.path() + " --text abc --max-tokens 1");
  EXPECT_NE(told.out.find("the model asks for num_return_sequences=3, which is not followed"), std::string::npos) << told.out;
  EXPECT_NE(told.out.find("the model asks for --top-k 2"), std::string::npos) << told.out;
}

TEST_F(Generate, AGrammarIsFollowedToItsEnd) {
  const std::string grammar = model.write("g.gbnf", "root ::= \"a\" (\"b\" | \" \") \"ab,\"");  // the model's \"c\" ends a text
  for (const char* how : {"", "--temperature 2 --seed 4", "--temperature 2 --top-k 1"}) {
    const Json result = json("--text 'abc' --max-tokens 20 --grammar " + grammar + " " + how);
    const std::string text = result["text"].string();
    EXPECT_TRUE(text == "abab," || text == "a ab,") << text;
    EXPECT_TRUE(result["ended"].boolean());
  }
  EXPECT_FALSE(json("--text 'abc' --max-tokens 1 --grammar " + grammar)["ended"].boolean());
}

/// Beams say as the plain search does whether a grammar's text is whole.
TEST_F(Generate, BeamsEndWithTheirGrammar) {
  const std::string grammar = model.write("ab.gbnf", "root ::= \"a\"? \"ab\" \",\"\n");
  const Json whole = json("--text 'abc' --max-tokens 6 --beams 2 --grammar " + grammar);
  EXPECT_TRUE(whole["ended"].boolean()) << whole.dump();
  EXPECT_FALSE(json("--text 'abc' --max-tokens 1 --beams 2 --grammar " + grammar)["ended"].boolean());
}

/// As in transformers, whose last token is forced behind the first.
TEST_F(Generate, TheForcedLastTokenWins) {
  EXPECT_EQ(json("--text 'abc' --max-tokens 1 --forced-first 0 --forced-last 5")["tokens"].items().at(0)["id"].integer(), 5);
}

TEST_F(Generate, AnEmptyTextIsOne) {
  const Json scored = parse_json(run(std::string(VITRINE_PROGRAM) + " tokenize " + model.path() + " --text= --json --quiet").out, "tokenize");
  EXPECT_LE(scored["tokens"].items().size(), 1u);
}

TEST_F(Generate, WhatWouldNotBeFollowedIsRefused) {
  expect_refused("--text a --n 3", "--n 3: expected tokens that are drawn");
  expect_refused("--text a --temperature 0 --top-p 0.5", "--top-p: expected tokens that are drawn");
  expect_refused("--text a --search greedy --temperature 1", "--search greedy: expected no --temperature above 0");
  expect_refused("--text a --search nope", "greedy, guided, prompt_lookup, sample");
  expect_refused("--text a --samplers temperature --temperature 1 --top-k 3", "--top-k: expected its sampler, top_k, in --samplers");
  expect_refused("--text a --stop ''", "--stop: expected at least one byte");
  expect_refused("--text a --temperature 1 --n 2 --record " + model.write("no.h5", ""), "--record: expected one text");
  expect_refused("--text a --suppress-tokens 0,99", "token ids from 0 to");
}

}  // namespace
}  // namespace vitrine
