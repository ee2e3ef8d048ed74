#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/suite.h"
#include "core/decode/scores.h"
#include "core/decode/search.h"

namespace vitrine {
namespace {

struct Setting {
  const char* option;
  double value;
};
struct Case {
  const char* name;
  std::vector<Setting> settings;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"plain", {}},
      {"temperature", {{"temperature", 0.8}}},
      {"top_k", {{"top-k", 40}}},
      {"top_p", {{"top-p", 0.95}}},
      {"top_p_hot", {{"temperature", 3.0}, {"top-p", 0.95}}},
      {"min_p", {{"min-p", 0.05}}},
      {"typical", {{"typical-p", 0.9}}},
      {"eta", {{"eta-cutoff", 0.002}}},
      {"mirostat", {{"mirostat-tau", 5.0}}},
      {"penalties_dry", {{"repetition-penalty", 1.1}, {"frequency-penalty", 0.2}, {"presence-penalty", 0.2}, {"dry-multiplier", 0.8}}},
      {"usual_chain", {{"repetition-penalty", 1.1}, {"dry-multiplier", 0.8}, {"temperature", 0.8}, {"top-k", 40}, {"top-p", 0.95}, {"min-p", 0.05}}},
  };
  return all;
}

/// Scores as models make them: a broad floor, some hundred likely tokens, and few likeliest.
std::vector<float> scores_of(std::size_t vocabulary) {
  std::mt19937 random(1);
  std::normal_distribution<float> floor(0.0f, 2.0f), likely(10.0f, 2.5f);
  std::vector<float> scores(vocabulary);
  for (float& score : scores) score = floor(random);
  for (int i = 0; i < 300; ++i) scores[random() % vocabulary] = likely(random);
  return scores;
}

/// One token: the scores copied, the chain, a draw. Behind a text of 1,024 tokens, many of which repeat.
void row(benchmark::State& state, const Case& tested, std::size_t vocabulary) {
  DecodeValues values;
  for (const Setting& setting : tested.settings) values.set(*find_decode_option(setting.option), setting.value);
  SamplerChain chain = make_chain(sampler_order(""), values, {vocabulary, nullptr, {}, 2048});
  const std::vector<float> scores = scores_of(vocabulary);
  std::vector<TokenId> prompt(512), made(512);
  std::mt19937 random(2);
  for (auto* ids : {&prompt, &made}) {
    for (TokenId& id : *ids) id = static_cast<TokenId>(random() % 400);
  }
  std::vector<float> left;
  std::uint64_t step = 0;
  const auto token = [&] {
    left.assign(scores.begin(), scores.end());
    chain.apply(left, {prompt, {}, made, {}});
    const TokenId id = draw(left, Draws{}.number(step++, 0));
    chain.chosen(id, left);
    return id;
  };
  const auto first = static_cast<std::size_t>(token());
  if (left[first] == never_chosen) return state.SkipWithError("a token was drawn that the samplers removed");
  measure(state, {.tokens = 1, .kernel = tested.name}, [&] { benchmark::DoNotOptimize(token()); });
}

void register_rows(const SuiteOptions&) {
  for (const std::size_t vocabulary : {std::size_t{49'152}, std::size_t{131'072}}) {
    for (const Case& tested : cases()) {
      const std::string name = "sampling/" + std::string(tested.name) + "/" + std::to_string(vocabulary);
      benchmark::RegisterBenchmark(name.c_str(), [&tested, vocabulary](benchmark::State& state) { row(state, tested, vocabulary); })->Unit(benchmark::kMicrosecond)->UseRealTime();
    }
  }
}

}  // namespace

const Suite& suite_sampling() {
  static const Suite suite{"sampling", "samplers and the draw of one token, by vocabulary", register_rows};
  return suite;
}

}  // namespace vitrine
