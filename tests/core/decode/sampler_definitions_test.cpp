// Each sampler against its definition, written down plainly over doubles, on random scores.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "tests/core/decode/samplers_test_support.h"

namespace vitrine {
namespace {

struct Candidate {
  std::size_t id;
  double score, p;
};

/// Those that can be chosen, from the likeliest on; equals in the order of their numbers.
std::vector<Candidate> ranked(const std::vector<float>& scores) {
  std::vector<Candidate> all;
  double top = -1e30, sum = 0.0;
  for (const float score : scores) top = std::max(top, static_cast<double>(score));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] > never_chosen) all.push_back({i, scores[i], std::exp(scores[i] - top)});
  }
  for (const Candidate& one : all) sum += one.p;
  for (Candidate& one : all) one.p /= sum;
  std::ranges::stable_sort(all, [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return all;
}

double entropy_of(const std::vector<Candidate>& all) {
  double entropy = 0.0;
  for (const Candidate& one : all) entropy -= one.p > 0.0 ? one.p * std::log(one.p) : 0.0;
  return entropy;
}

/// The first ones whose mass reaches p.
std::size_t reaching(const std::vector<Candidate>& all, double p) {
  double mass = 0.0;
  std::size_t count = 0;
  while (count < all.size() && (count == 0 || mass < p)) mass += all[count++].p;
  return count;
}

using Kept = std::function<std::vector<Candidate>(std::vector<Candidate> all, double value)>;

std::vector<Candidate> at_least(const std::vector<Candidate>& all, double p) {
  std::vector<Candidate> kept{all.front()};
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i].p >= p) kept.push_back(all[i]);
  }
  return kept;
}

std::vector<Candidate> first_of(std::vector<Candidate> all, std::size_t count) {
  all.resize(std::min(all.size(), count));
  return all;
}

const std::map<std::string, Kept> definitions{
    {"top-k", [](const auto& all, double k) { return first_of(all, static_cast<std::size_t>(k)); }},
    {"top-p", [](const auto& all, double p) { return first_of(all, reaching(all, p)); }},
    {"min-p", [](const auto& all, double p) { return at_least(all, p * all.front().p); }},
    {"epsilon-cutoff", [](const auto& all, double epsilon) { return at_least(all, epsilon); }},
    {"eta-cutoff", [](const auto& all, double epsilon) { return at_least(all, std::min(epsilon, std::sqrt(epsilon) * std::exp(-entropy_of(all)))); }},
    {"p-less", [](const auto& all, double) {
       double squares = 0.0;
       for (const Candidate& one : all) squares += one.p * one.p;
       return at_least(all, squares);
     }},
    {"top-n-sigma", [](const auto& all, double sigmas) {
       double mean = 0.0, variance = 0.0;
       for (const Candidate& one : all) mean += one.score / static_cast<double>(all.size());
       for (const Candidate& one : all) variance += (one.score - mean) * (one.score - mean) / static_cast<double>(all.size());
       std::vector<Candidate> kept;
       for (const Candidate& one : all) {
         if (one.score >= all.front().score - sigmas * std::sqrt(variance)) kept.push_back(one);
       }
       return kept;
     }},
    {"typical-p", [](auto all, double p) {
       const double entropy = entropy_of(all);
       std::ranges::stable_sort(all, [&](const Candidate& a, const Candidate& b) { return std::abs(-std::log(a.p) - entropy) < std::abs(-std::log(b.p) - entropy); });
       return first_of(all, reaching(all, p));
     }},
    {"mirostat-tau", [](const auto& all, double tau) { return at_least(all, std::exp2(-2.0 * tau)); }},
};

/// Scores as models make them: a few high ones over a broad floor, some impossible ones.
std::vector<float> random_scores(std::mt19937& random, std::size_t vocabulary) {
  std::normal_distribution<float> normal(0.0f, std::uniform_real_distribution<float>(0.5f, 5.0f)(random));
  std::vector<float> scores(vocabulary);
  for (float& score : scores) score = normal(random);
  for (std::size_t i = 0; i < vocabulary / 10; ++i) scores[random() % vocabulary] = never_chosen;
  scores[random() % vocabulary] = 6.0f;
  return scores;
}

std::string value_for(const std::string& name, std::mt19937& random) {
  const double u = std::uniform_real_distribution<double>(0.02, 0.98)(random);
  if (name == "p-less") return "";
  if (name == "top-k") return "=" + std::to_string(1 + random() % 300);
  if (name == "top-n-sigma" || name == "mirostat-tau") return "=" + std::to_string(4.0 * u);
  return "=" + std::to_string(name == "epsilon-cutoff" || name == "eta-cutoff" ? 0.1 * u * u : u);
}

TEST(Samplers, KeepWhatTheirDefinitionsKeep) {
  std::mt19937 random(5);
  for (const auto& [name, definition] : definitions) {
    std::size_t removed = 0;
    for (int round = 0; round < 60; ++round) {
      const std::vector<float> scores = random_scores(random, std::vector<std::size_t>{1, 2, 31, 500, 5003}[static_cast<std::size_t>(round) % 5]);
      const std::string value = value_for(name, random);
      const double number = value.empty() ? 0.0 : std::stod(value.substr(1));
      std::vector<float> expected(scores.size(), never_chosen);
      for (const Candidate& one : definition(ranked(scores), number)) expected[one.id] = scores[one.id];
      const std::vector<float> seen = scores_after({name + value}, scores);
      EXPECT_EQ(seen, expected) << name << value << " of " << scores.size();
      removed += static_cast<std::size_t>(std::ranges::count(expected, never_chosen) - std::ranges::count(scores, never_chosen));
    }
    EXPECT_GT(removed, 0u) << name;
  }
}

TEST(Samplers, EveryOneOfTheTableIsTestedSomewhere) {
  const std::vector<std::string> elsewhere{"bad_words", "dry", "encoder_no_repeat_ngram", "encoder_repetition_penalty", "forced", "frequency_penalty", "length_decay", "logit_bias", "min_tokens",
                                           "no_repeat_ngram", "presence_penalty", "repetition_penalty", "suppress", "temperature", "top_h", "xtc"};
  for (const SamplerKind* kind : all_samplers()) {
    const bool here = definitions.contains(std::string(kind->options.front().name));
    EXPECT_TRUE(here || std::ranges::find(elsewhere, kind->name) != elsewhere.end()) << kind->name << " has no definition in a test";
  }
}

TEST(Samplers, TemperatureDividesAndDynamicTemperatureFollowsTheEntropy) {
  std::mt19937 random(6);
  for (int round = 0; round < 20; ++round) {
    const std::vector<float> scores = random_scores(random, 300);
    const double t = std::uniform_real_distribution<double>(0.2, 3.0)(random), range = t * 0.7, exponent = 0.5 + 0.1 * round;
    const std::vector<Candidate> all = ranked(scores);
    const auto expect_divided = [&](const std::vector<std::string>& words, double divisor) {
      const std::vector<double> seen = probabilities_of(scores_after(words, scores));
      double sum = 0.0;
      for (const Candidate& one : all) sum += std::exp((one.score - all.front().score) / divisor);
      for (const Candidate& one : all) EXPECT_NEAR(seen[one.id], std::exp((one.score - all.front().score) / divisor) / sum, 2e-6) << words.front();
    };
    const std::string temperature = "temperature=" + std::to_string(t);
    expect_divided({temperature}, t);
    const double share = entropy_of(all) / std::log(static_cast<double>(all.size()));
    expect_divided({temperature, "temperature-range=" + std::to_string(range), "temperature-exponent=" + std::to_string(exponent)}, t - range + 2.0 * range * std::pow(share, exponent));
  }
}

/// The longest run of tokens that ends both the text and some place before the token, not across a breaker.
std::size_t repetition_before(const std::vector<TokenId>& said, std::size_t place, TokenId breaker) {
  std::size_t length = 0;
  while (length < place && said[said.size() - 1 - length] == said[place - 1 - length] && said[said.size() - 1 - length] != breaker) ++length;
  return length;
}

TEST(Samplers, DryIsWhatItsDefinitionSays) {
  std::mt19937 random(7);
  constexpr TokenId breaker = 3;
  std::size_t penalised = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<TokenId> said;
    for (std::size_t i = 0; i < random() % 60; ++i) said.push_back(static_cast<TokenId>(random() % (2 + round % 6)));
    const std::size_t allowed = random() % 4, window = round % 3 == 0 ? 1 + random() % 40 : 0;
    const std::vector<TokenId> seen_part = window == 0 || window > said.size() ? said : std::vector<TokenId>(said.end() - static_cast<std::ptrdiff_t>(window), said.end());
    std::vector<float> scores(28), expected;
    for (float& score : scores) score = std::normal_distribution<float>()(random);
    expected = scores;
    std::map<TokenId, std::size_t> longest;
    for (std::size_t place = 1; place < seen_part.size(); ++place) longest[seen_part[place]] = std::max(longest[seen_part[place]], repetition_before(seen_part, place, breaker));
    for (const auto& [id, length] : longest) {
      if (length < allowed || seen_part.size() <= allowed || id == breaker) continue;
      expected[static_cast<std::size_t>(id)] -= static_cast<float>(0.9 * std::pow(1.5, static_cast<double>(length - allowed)));
      ++penalised;
    }
    const std::size_t prompt = said.empty() ? 0 : random() % said.size();
    const Step step{.prompt = {said.begin(), said.begin() + static_cast<std::ptrdiff_t>(prompt)}, .made = {said.begin() + static_cast<std::ptrdiff_t>(prompt), said.end()}};
    const std::vector<float> seen = scores_after({"dry-multiplier=0.9", "dry-base=1.5", "dry-allowed-length=" + std::to_string(allowed), "dry-window=" + std::to_string(window), "dry-breaker=d"}, scores, step);
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_FLOAT_EQ(seen[i], expected[i]) << "round " << round << ", token " << i;
  }
  EXPECT_GT(penalised, 100u);
}

/// A breaker of two letters ends what can be repeated at its last one.
TEST(Samplers, DryBreakersMayLieInSeveralTokens) {
  const auto penalty = [](std::string_view text, char token, const std::string& breaker) {
    Step step;
    for (const char letter : text) step.prompt.push_back(letter - 'a');
    const std::vector<float> seen = scores_after({"dry-multiplier=1", "dry-base=2", "dry-allowed-length=1", "dry-breaker=" + breaker}, std::vector<float>(28, 0.0f), step);
    return -seen[static_cast<std::size_t>(token - 'a')];
  };
  EXPECT_FLOAT_EQ(penalty("abcdxabcd", 'x', "q"), 8.0f);   // "abcd" was followed by x
  EXPECT_FLOAT_EQ(penalty("abcdxabcd", 'x', "bc"), 1.0f);  // "d" alone
  EXPECT_FLOAT_EQ(penalty("abcdxabcd", 'x', "cd"), 0.0f);
}

TEST(Samplers, PenaltiesSeeWhatTheyAreToldTo) {
  const Step step{.prompt = {1, 2, 2}, .made = {3, 4, 4, 4}};
  const std::vector<float> ones(8, 1.0f);
  EXPECT_EQ(scores_after({"frequency-penalty=0.5"}, ones, step), (std::vector<float>{1, 1, 1, 0.5f, -0.5f, 1, 1, 1}));
  EXPECT_EQ(scores_after({"frequency-penalty=0.5", "penalty-scope=all"}, ones, step), (std::vector<float>{1, 0.5f, 0, 0.5f, -0.5f, 1, 1, 1}));
  EXPECT_EQ(scores_after({"frequency-penalty=0.5", "penalty-scope=all", "penalty-window=5"}, ones, step), (std::vector<float>{1, 1, 0.5f, 0.5f, -0.5f, 1, 1, 1}));
  EXPECT_EQ(scores_after({"frequency-penalty=0.5", "penalty-window=2"}, ones, step), (std::vector<float>{1, 1, 1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(scores_after({"presence-penalty=0.5"}, ones, step), (std::vector<float>{1, 1, 1, 0.5f, 0.5f, 1, 1, 1}));
  EXPECT_EQ(scores_after({"repetition-penalty=2"}, ones, step), (std::vector<float>{1, 0.5f, 0.5f, 0.5f, 0.5f, 1, 1, 1}));
  EXPECT_EQ(scores_after({"repetition-penalty=2", "penalty-scope=made"}, ones, step), (std::vector<float>{1, 1, 1, 0.5f, 0.5f, 1, 1, 1}));
}

TEST(Samplers, XtcLeavesOutAsOftenAsItSays) {
  std::size_t left_out = 0;
  constexpr std::size_t steps = 4000;
  for (std::size_t text = 0; text < steps; ++text) {
    left_out += after({"xtc-probability=0.3"}, {0.5, 0.3, 0.15, 0.05}, {.draws = {11, text}})[0] == 0.0;
  }
  EXPECT_NEAR(static_cast<double>(left_out) / steps, 0.3, 4.0 * std::sqrt(0.3 * 0.7 / steps));
}

/// Mirostat against its algorithm over a run of made-up distributions.
TEST(Samplers, MirostatFollowsItsTarget) {
  std::mt19937 random(8);
  SamplerChain chain = chain_of({"mirostat-tau=3", "mirostat-eta=0.2"}, 400);
  double mu = 6.0, surprises = 0.0;
  constexpr int steps = 400;
  for (int step = 0; step < steps; ++step) {
    std::vector<float> scores = random_scores(random, 400);
    const std::vector<Candidate> kept = at_least(ranked(scores), std::exp2(-mu));
    chain.apply(scores, {});
    EXPECT_EQ(choosable(scores).size(), kept.size()) << step;
    const TokenId id = draw(scores, std::uniform_real_distribution<double>(0.0, 1.0)(random));
    chain.chosen(id, scores);
    double mass = 0.0, p = 0.0;
    for (const Candidate& one : kept) {
      mass += one.p;
      if (one.id == static_cast<std::size_t>(id)) p = one.p;
    }
    ASSERT_GT(p, 0.0);
    mu -= 0.2 * (-std::log2(p / mass) - 3.0);
    surprises += -std::log2(p / mass);
  }
  EXPECT_NEAR(surprises / steps, 3.0, 0.1);
}

}  // namespace
}  // namespace vitrine
