// Beams over tables of probabilities: fairseq's (tests/test_sequence_generator.py, tests/utils.py: its numbers are facts), and others whose
// answers can be listed.
#include "core/decode/beams.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "core/base/error.h"
#include "tests/core/decode/search_runner.h"

namespace vitrine {
namespace {

constexpr TokenId eos = 0, w1 = 1, w2 = 2;
using Text = std::vector<TokenId>;
using Row = std::vector<double>;  // probabilities of eos, w1, w2

/// What may follow which text; whatever is not told of ends.
class Table : public NextScores {
 public:
  explicit Table(std::map<Text, Row> rows) : rows_(std::move(rows)) {}
  TensorView<float, 2> begin(std::span<const std::span<const TokenId>> prompts) override {
    texts_.assign(prompts.size(), {});
    return logits();
  }
  TensorView<float, 2> grow(std::span<const Growth> growths) override {
    std::vector<Text> grown;
    for (const Growth& growth : growths) {
      grown.push_back(texts_.at(growth.parent));
      grown.back().push_back(growth.id);
    }
    texts_ = std::move(grown);
    widest = std::max(widest, texts_.size());
    return logits();
  }
  std::size_t widest = 0;  // texts in a pass

 private:
  TensorView<float, 2> logits() {
    const std::size_t vocabulary = rows_.begin()->second.size();
    numbers_.clear();
    for (const Text& text : texts_) {
      Row row(vocabulary, 0.0);
      row[eos] = 1.0;
      if (rows_.contains(text)) row = rows_.at(text);
      for (const double probability : row) numbers_.push_back(static_cast<float>(std::log(probability)));
    }
    return {numbers_.data(), {texts_.size(), vocabulary}};
  }
  std::map<Text, Row> rows_;
  std::vector<Text> texts_;
  std::vector<float> numbers_;
};

/// The step at which a text must end: nothing else is left, as fairseq has it.
class MustEnd : public Sampler {
 public:
  explicit MustEnd(std::size_t length) : length_(length) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    if (text.made.size() + 1 == length_) std::fill(scores.begin() + 1, scores.end(), -std::numeric_limits<float>::infinity());
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<MustEnd>(*this); }

 private:
  std::size_t length_;
};

struct Expected {
  Text text;               // without eos
  std::vector<double> of;  // probabilities, eos last
};

/// @param power  of the length
void expect_texts(const std::vector<GeneratedText>& texts, const std::vector<Expected>& expected, double power) {
  ASSERT_EQ(texts.size(), expected.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(ids_of(texts[i]), expected[i].text) << i;
    EXPECT_TRUE(texts[i].ended) << i;
    double sum = 0.0;
    for (std::size_t t = 0; t < expected[i].of.size(); ++t) {
      sum += std::log(expected[i].of[t]);
      if (t == texts[i].tokens.size()) continue;  // the end
      EXPECT_NEAR(texts[i].tokens[t].log_probability, std::log(expected[i].of[t]), 1e-6);
    }
    EXPECT_NEAR(texts[i].score.value(), sum / std::pow(static_cast<double>(expected[i].of.size()), power), 1e-6) << i;
  }
}

constexpr double never = 1e-30;  // rules that leave nothing at all are an error
const Table first_sentence({{{}, {0, .9, .1}}, {{w1}, {1, 0, 0}}, {{w2}, {0, .9, .1}}, {{w2, w1}, {never, .1, .9}}, {{w2, w2}, {.6, .2, .2}}});
const Table second_sentence({{{}, {0, .7, .3}}, {{w1}, {.25, .35, .4}}, {{w2}, {0, .1, .9}}, {{w1, w2}, {.6, .4, 0}}, {{w2, w2}, {.01, 0, .99}},
                             {{w2, w2, w2}, {.1, .5, .4}}});
const Table first_of_groups({{{}, {0, .9, .1}}, {{w1}, {0, .6, .4}}, {{w2}, {0, .6, .4}}});
const Table second_of_groups({{{}, {0, .7, .3}}, {{w1}, {.25, .35, .4}}, {{w2}, {.25, .35, .4}}, {{w1, w1}, {.9, .1, 0}}, {{w1, w2}, {.9, .1, 0}},
                              {{w2, w1}, {.9, .1, 0}}, {{w2, w2}, {.9, .1, 0}}});

using BeamSearch = std::vector<GeneratedText> (*)(NextScores&, const BeamTask&);

std::vector<GeneratedText> searched(BeamSearch search, Table table, Settings settings, std::size_t max_tokens = 100, bool must_end = false) {
  static const Text prompt{w1, w2};
  static const Text ends{eos};
  settings.insert({{"beams", {"2"}}, {"early-stopping", {"yes"}}});
  const DecodeValues values = values_of(settings);
  SamplerChain chain;
  if (must_end) chain.add(std::make_unique<MustEnd>(max_tokens));
  return search(table, {.prompt = prompt, .max_tokens = max_tokens, .texts = 2, .ends = ends, .samplers = chain, .values = values, .vocabulary = 3});
}

TEST(FairseqBeams, AreNormalizedByLength) {
  const auto with = [](const char* power) { return Settings{{"length-penalty", {power}}}; };
  const Expected brief{{w1}, {.9, 1}}, longer{{w2, w1, w2}, {.1, .9, .9, 1}}, four{{w1, w2, w1}, {.7, .4, .4, 1}}, three{{w1, w2}, {.7, .4, .6}};
  expect_texts(searched(beam_search, first_sentence, with("1")), {brief, longer}, 1);
  expect_texts(searched(beam_search, second_sentence, with("1")), {four, three}, 1);
  expect_texts(searched(beam_search, first_sentence, with("0")), {brief, longer}, 0);
  expect_texts(searched(beam_search, second_sentence, with("0")), {three, four}, 0);
  expect_texts(searched(beam_search, first_sentence, with("0.6")), {brief, longer}, 0.6);
  expect_texts(searched(beam_search, second_sentence, with("0.6")), {three, four}, 0.6);
  expect_texts(searched(beam_search, first_sentence, with("5")), {longer, brief}, 5);
  expect_texts(searched(beam_search, second_sentence, with("5")), {four, three}, 5);
}

TEST(FairseqBeams, EndWhereATextIsAsLongAsItMayBe) {
  expect_texts(searched(beam_search, first_sentence, {}, 3, true), {{{w1}, {.9, 1}}, {{w2, w2}, {.1, .1, .6}}}, 1);
  expect_texts(searched(beam_search, second_sentence, {}, 3, true), {{{w1, w2}, {.7, .4, .6}}, {{w2, w2}, {.3, .9, .01}}}, 1);
}

TEST(FairseqBeams, InGroupsWithoutAPenaltyAreTheSameTwice) {
  const Settings settings{{"beam-groups", {"2"}}, {"diversity-penalty", {"0"}}};
  const Expected first{{w1, w1}, {.9, .6, 1}}, second{{w1, w2}, {.7, .4, .9}};
  expect_texts(searched(diverse_beam_search, first_of_groups, settings), {first, first}, 1);
  expect_texts(searched(diverse_beam_search, second_of_groups, settings), {second, second}, 1);
}

/// Scores with fairseq's sibling ranks, each at a rate of 0.5.
TEST(FairseqBeams, SiblingsPayForTheirRank) {
  const auto check = [](const Table& table, const std::vector<Expected>& expected, const std::vector<std::vector<int>>& ranks) {
    const std::vector<GeneratedText> texts = searched(beam_search, table, {{"sibling-penalty", {"0.5"}}});
    ASSERT_EQ(texts.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(ids_of(texts[i]), expected[i].text);
      double sum = 0.0;
      for (std::size_t t = 0; t < 3; ++t) sum += std::log(expected[i].of[t]) - 0.5 * ranks[i][t];
      EXPECT_NEAR(*texts[i].score, sum / 3.0, 1e-6);
    }
  };
  check(first_of_groups, {{{w1, w1}, {.9, .6, 1}}, {{w1, w2}, {.9, .4, 1}}}, {{0, 1, 1}, {0, 2, 1}});
  check(second_of_groups, {{{w1, w2}, {.7, .4, .9}}, {{w1, w1}, {.7, .35, .9}}}, {{0, 1, 1}, {0, 2, 1}});
}

TEST(Beams, GroupsKeepFromWhatOthersSay) {
  // The second group pays for w1, which the first took: .1 against .9 e^-3.
  const std::vector<GeneratedText> texts = searched(diverse_beam_search, first_of_groups, {{"beam-groups", {"2"}}, {"diversity-penalty", {"3"}}});
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(ids_of(texts[0]), (Text{w1, w1}));
  EXPECT_EQ(ids_of(texts[1]).front(), w2);
}

TEST(Beams, WhatIsForcedStandsInTheText) {
  const auto holds = [](const GeneratedText& text, const Text& phrase) {
    const Text ids = ids_of(text);
    return !std::ranges::search(ids, phrase).empty();
  };
  const std::vector<GeneratedText> texts = searched(constrained_beam_search, first_sentence, {{"beams", {"4"}}, {"force-ids", {"2,2"}}}, 4);
  ASSERT_FALSE(texts.empty());
  for (const GeneratedText& text : texts) EXPECT_TRUE(holds(text, {w2, w2}));
  const std::vector<GeneratedText> one_of = searched(constrained_beam_search, second_sentence, {{"beams", {"4"}}, {"force-ids", {"2,2,2|1,1"}}}, 6);
  ASSERT_FALSE(one_of.empty());
  for (const GeneratedText& text : one_of) EXPECT_TRUE(holds(text, {w2, w2, w2}) || holds(text, {w1, w1}));
}

TEST(Beams, FourBeamsAreOnePassAStep) {
  Table table(second_of_groups);
  static const Text prompt{w1}, ends{eos};
  const DecodeValues values = values_of({{"beams", {"4"}}});
  const SamplerChain chain;
  beam_search(table, {.prompt = prompt, .max_tokens = 3, .texts = 4, .ends = ends, .samplers = chain, .values = values, .vocabulary = 3});
  EXPECT_LE(table.widest, 4u);
  EXPECT_GE(table.widest, 2u);
}

/// Two candidates are drawn one after the other without putting back; how often each pair of first tokens comes is p q / (1 - p) and its mirror.
TEST(Beams, AreDrawnWithoutPuttingBack) {
  const Row first{.1, .2, .3, .4};
  const Table table(std::map<Text, Row>{{Text{}, first}});
  static const Text prompt{w1}, ends{eos};
  const DecodeValues values = values_of({{"beams", {"1"}}});
  const SamplerChain chain;
  constexpr int runs = 20000;
  std::map<std::pair<TokenId, TokenId>, int> counts;
  for (int run = 0; run < runs; ++run) {
    Table scores(table);
    const BeamTask task{.prompt = prompt, .max_tokens = 1, .texts = 1, .ends = ends, .samplers = chain, .draws_tokens = true,
                        .draws = {.seed = static_cast<std::uint64_t>(run)}, .values = values, .vocabulary = 4};
    Expansion expansion(scores, task);
    std::vector<Beam> beams(1);
    expansion.score(scores.begin({&task.prompt, 1}), beams);
    const std::vector<Candidate> drawn = expansion.drawn(2);
    ASSERT_EQ(drawn.size(), 2u);
    EXPECT_GE(drawn[0].score, drawn[1].score);
    ++counts[std::minmax(drawn[0].id, drawn[1].id)];
  }
  for (const auto& [pair, count] : counts) {
    const double p = first[static_cast<std::size_t>(pair.first)], q = first[static_cast<std::size_t>(pair.second)];
    const double expected = p * q / (1 - p) + p * q / (1 - q), error = std::sqrt(expected * (1 - expected) / runs);
    EXPECT_NEAR(static_cast<double>(count) / runs, expected, 4.5 * error) << pair.first << " and " << pair.second;
  }
  EXPECT_EQ(counts.size(), 6u);
}

TEST(Beams, SayWhatCannotBe) {
  EXPECT_THROW(searched(beam_search, first_sentence, {{"early-stopping", {"maybe"}}}), Error);
  EXPECT_THROW(searched(diverse_beam_search, first_sentence, {{"beam-groups", {"3"}}}), Error);
  EXPECT_THROW(searched(constrained_beam_search, first_sentence, {}), Error);
  EXPECT_THROW(searched(constrained_beam_search, first_sentence, {{"force-ids", {"2,2"}}}, 1), Error);
  EXPECT_THROW(searched(constrained_beam_search, first_sentence, {{"force-ids", {"2|2,1"}}}), Error);
  EXPECT_THROW(searched(constrained_beam_search, first_sentence, {{"force-ids", {"3"}}}), Error);
}

TEST(Beams, OfNoTokensAreEmpty) {
  const std::vector<GeneratedText> texts = searched(beam_search, first_sentence, {}, 0);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_TRUE(texts.front().tokens.empty());
}

}  // namespace
}  // namespace vitrine
