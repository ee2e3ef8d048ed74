#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "core/base/error.h"
#include "tests/core/decode/samplers_test_support.h"

namespace vitrine {
namespace {

using testing::HasSubstr;

std::vector<std::string> names_of(std::string_view words) {
  std::vector<std::string> names;
  for (const SamplerKind* kind : sampler_order(words)) names.emplace_back(kind->name);
  return names;
}

/// What a task says when it fails as a user's mistake.
template <typename Task>
std::string refused(const Task& task) {
  try {
    task();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "nothing was refused";
}

TEST(SamplerOrder, IsTheDefaultAProjectsOrTheUsers) {
  const std::vector<std::string> all = names_of("");
  EXPECT_EQ(all.size(), all_samplers().size());
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
  const auto place = [](const std::vector<std::string>& names, const std::string& name) { return std::ranges::find(names, name) - names.begin(); };
  EXPECT_LT(place(all, "bad_words"), place(all, "repetition_penalty"));
  EXPECT_LT(place(all, "repetition_penalty"), place(all, "temperature"));
  EXPECT_LT(place(all, "temperature"), place(all, "top_p"));
  const std::vector<std::string> peer = names_of("llama.cpp");
  EXPECT_LT(place(peer, "top_p"), place(peer, "temperature"));
  EXPECT_LT(place(peer, "logit_bias"), place(peer, "top_p")) << "rules are always in force";
  const std::vector<std::string> own = names_of("dry,top_k,temperature");
  EXPECT_EQ((std::vector<std::string>(own.end() - 3, own.end())), (std::vector<std::string>{"dry", "top_k", "temperature"}));
  const std::vector<std::string> late = names_of("top_k,logit_bias");
  EXPECT_EQ(late.back(), "logit_bias");
  EXPECT_THAT(refused([] { sampler_order("top_k,nope"); }), HasSubstr("found 'nope'"));
  EXPECT_THAT(refused([] { sampler_order("top_k,top_k"); }), HasSubstr("'top_k' twice"));
}

TEST(SamplerOrder, ChangesTheDistribution) {
  const std::vector<float> scores = logs_of({0.4, 0.3, 0.2, 0.1});
  const auto kept = [&](std::string_view order) {
    std::vector<float> left = scores;
    make_chain(sampler_order(order), values_of({"temperature=3", "top-p=0.75"}), {4, nullptr, {}, 0}).apply(left, {});
    return choosable(left).size();
  };
  EXPECT_EQ(kept("transformers"), 3u);  // flatter when the nucleus is cut
  EXPECT_EQ(kept("llama.cpp"), 3u);
  EXPECT_EQ(kept("temperature,top_p"), 3u);
  std::vector<float> cut = scores;
  make_chain(sampler_order("top_p,temperature"), values_of({"temperature=3", "top-p=0.7"}), {4, nullptr, {}, 0}).apply(cut, {});
  EXPECT_EQ(choosable(cut).size(), 2u);
  cut = scores;
  make_chain(sampler_order("temperature,top_p"), values_of({"temperature=3", "top-p=0.7"}), {4, nullptr, {}, 0}).apply(cut, {});
  EXPECT_EQ(choosable(cut).size(), 3u);
}

TEST(SamplerOrder, NothingIsLeftOutInSilence) {
  const auto make = [](std::string_view order, const std::vector<std::string>& words) { make_chain(sampler_order(order), values_of(words), {28, nullptr, {}, 0}); };
  EXPECT_THAT(refused([&] { make("top_k", {"top-p=0.5"}); }), HasSubstr("--top-p: expected its sampler, top_p, in --samplers"));
  EXPECT_THAT(refused([&] { make("", {"dry-base=2"}); }), HasSubstr("--dry-base: expected --dry-multiplier beside it"));
  EXPECT_THAT(refused([&] { make("", {"penalty-window=2"}); }), HasSubstr("--repetition-penalty or --frequency-penalty or --presence-penalty beside it"));
  make("", {"penalty-window=2", "presence-penalty=1"});
  EXPECT_THAT(refused([&] { make("", {"bad-words=a"}); }), HasSubstr("expected a model with a tokenizer"));
  EXPECT_THAT(refused([&] { make("", {"logit-bias=3"}); }), HasSubstr("ID=VALUE or TEXT=VALUE"));
  EXPECT_THAT(refused([&] { make("", {"logit-bias=99=1"}); }), HasSubstr("token ids from 0 to 27"));
  EXPECT_THAT(refused([&] { make("", {"penalty-scope=some", "presence-penalty=1"}); }), HasSubstr("all or made"));
}

TEST(DecodeOptions, HaveRanges) {
  EXPECT_THAT(refused([] { values_of({"top-p=0"}); }), HasSubstr("--top-p: expected more than 0, at most 1, found 0"));
  EXPECT_THAT(refused([] { values_of({"top-p=nan"}); }), HasSubstr("found nan"));
  EXPECT_THAT(refused([] { values_of({"top-k=1.5"}); }), HasSubstr("a whole number"));
  EXPECT_THAT(refused([] { values_of({"temperature=-1"}); }), HasSubstr("--temperature: expected 0 or more, found -1"));
  EXPECT_THAT(refused([] { values_of({"min-p=x"}); }), HasSubstr("found 'x'"));
  for (const SamplerKind* kind : all_samplers()) {
    EXPECT_FALSE(kind->options.empty()) << kind->name;
    EXPECT_FALSE(kind->source.empty()) << kind->name;
    EXPECT_EQ(kind->make({}, {28, nullptr, {}, 0}), nullptr) << kind->name << " changes something where nothing was asked for";
  }
}

TEST(Scores, WhatIsNoNumberIsNeverChosen) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::vector<float> scores(300, nan);
  scores[7] = 1.0f;
  SamplerChain chain = chain_of({"top-p=0.5", "temperature=2"}, scores.size());
  chain.apply(scores, {});
  EXPECT_EQ(choosable(scores), (std::vector<TokenId>{7}));
  std::vector<float> with_infinity{nan, infinity, 3.0f};
  SamplerChain().apply(with_infinity, {});
  EXPECT_EQ(draw(with_infinity, 0.999), 1);
  std::vector<float> nothing(5, nan);
  EXPECT_THROW(SamplerChain().apply(nothing, {}), Error);
  EXPECT_THROW(likeliest(std::vector<float>(5, nan)), Error);
  try {
    scores_after({"suppress-tokens=0,1,2"}, {1.0f, 2.0f, 3.0f});
    ADD_FAILURE() << "every token was forbidden";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the rules together forbid every token"));
  }
}

TEST(Scores, ARankingIsASort) {
  std::mt19937 random(2);
  for (const std::size_t count : {1u, 2u, 255u, 256u, 257u, 5000u, 49152u}) {
    for (const float spread : {0.001f, 1.0f, 30.0f, 1e20f}) {
      std::vector<float> scores(count);
      std::normal_distribution<float> normal(0.0f, spread);
      for (float& score : scores) score = std::round(normal(random) * 8.0f) / 8.0f;  // with equals among them
      for (std::size_t i = 0; i < count / 3; ++i) scores[random() % count] = never_chosen;
      std::vector<TokenId> expected = choosable(scores);
      std::ranges::stable_sort(expected, [&](TokenId a, TokenId b) { return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)]; });
      Ranking ranking(scores);
      std::vector<TokenId> seen;
      while (ranking.has(seen.size())) seen.push_back(ranking[seen.size()]);
      EXPECT_EQ(seen, expected) << count << " scores, spread " << spread;
      if (expected.empty()) continue;
      const std::size_t kept = 1 + random() % expected.size();
      std::vector<float> cut = scores;
      Ranking(cut).keep_first(kept, cut);
      std::vector<TokenId> first(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(kept));
      std::ranges::sort(first);
      EXPECT_EQ(choosable(cut), first);
    }
  }
}

/// Chi-square of what is drawn against the distribution; critical values at p = 1e-4 by Wilson and Hilferty's cube.
TEST(Scores, AreDrawnAsOftenAsTheySay) {
  std::mt19937 random(9);
  for (const std::size_t vocabulary : {2u, 7u, 40u}) {
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{}, {"temperature=0.7"}, {"top-p=0.8"}, {"temperature=1.5", "top-k=5", "min-p=0.02"}, {"typical-p=0.9"}}) {
      std::vector<float> scores(vocabulary);
      for (float& score : scores) score = std::normal_distribution<float>()(random);
      const std::vector<float> left = scores_after(words, scores);
      const std::vector<double> p = probabilities_of(left);
      constexpr std::size_t draws = 40000;
      std::vector<std::size_t> seen(vocabulary);
      for (std::size_t text = 0; text < draws / 20; ++text) {
        for (std::uint64_t step = 0; step < 20; ++step) ++seen[static_cast<std::size_t>(draw(left, Draws{17, text}.number(step, 0)))];
      }
      double chi_square = 0.0, freedom = -1.0;
      for (std::size_t i = 0; i < vocabulary; ++i) {
        if (p[i] == 0.0) {
          EXPECT_EQ(seen[i], 0u);
          continue;
        }
        const double expected = p[i] * draws;
        chi_square += (static_cast<double>(seen[i]) - expected) * (static_cast<double>(seen[i]) - expected) / expected;
        freedom += 1.0;
      }
      if (freedom < 1.0) continue;
      const double c = 2.0 / (9.0 * freedom), critical = freedom * std::pow(1.0 - c + 3.719 * std::sqrt(c), 3.0);
      EXPECT_LT(chi_square, critical) << vocabulary << " tokens, " << (words.empty() ? "plain" : words.front());
    }
  }
}

TEST(Draws, AreUniformAndOfTheirOwn) {
  std::set<double> seen;
  double sum = 0.0, squares = 0.0, along = 0.0;
  constexpr std::size_t count = 20000;
  for (std::size_t i = 0; i < count; ++i) {
    const double number = Draws{i % 5, i / 5 % 20}.number(i / 100, i % 2);
    EXPECT_GE(number, 0.0);
    EXPECT_LT(number, 1.0);
    sum += number;
    squares += number * number;
    along += number * Draws{i % 5, i / 5 % 20}.number(i / 100 + 1, i % 2);
    seen.insert(number);
  }
  EXPECT_NEAR(sum / count, 0.5, 4.0 * std::sqrt(1.0 / 12.0 / count));
  EXPECT_NEAR(squares / count, 1.0 / 3.0, 0.01);
  EXPECT_NEAR(along / count, 0.25, 0.01);
  EXPECT_EQ(seen.size(), count) << "different seeds, texts, steps and streams draw different numbers";
}

/// A chain's copy goes its own way.
TEST(SamplerChain, CopiesHaveTheirOwnState) {
  SamplerChain one = chain_of({"mirostat-tau=1"}, 4);
  const std::vector<float> flat(4, 0.0f);
  SamplerChain other = one.copy();
  for (int i = 0; i < 40; ++i) other.chosen(0, flat);  // more surprise than it wants: mu sinks
  std::vector<float> left = logs_of({0.4, 0.3, 0.2, 0.1}), right = left;
  one.apply(left, {});
  other.apply(right, {});
  EXPECT_EQ(choosable(left).size(), 2u);
  EXPECT_EQ(choosable(right).size(), 1u);
}

}  // namespace
}  // namespace vitrine
