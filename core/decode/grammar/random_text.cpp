#include "core/decode/grammar/random_text.h"

#include <cmath>

#include "core/base/error.h"
#include "core/decode/grammar/automaton.h"

namespace vitrine {
namespace {

constexpr unsigned one_end_in = 4;  // how often a text ends where it may and need not

/// Of `all`, the step behind which an end is nearest.
template <typename Steps, typename Distance>
auto nearest(const Steps& all, const Distance& distance) {
  auto best = all.front();
  auto least = distance(best);
  for (const auto& step : all) {
    const auto other = distance(step);
    if (other < least) best = step, least = other;
  }
  return best;
}

}  // namespace

std::string random_text(const Grammar& grammar, std::size_t budget, std::mt19937_64& random) {
  GrammarAutomaton automaton(grammar.network());
  const GrammarNetwork& network = automaton.network();
  std::vector<std::vector<std::uint8_t>> bytes(network.classes);
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[network.class_of[byte]].push_back(static_cast<std::uint8_t>(byte));
  std::string text;
  GrammarAutomaton::State state = automaton.start();
  while (automaton.goes_on(state)) {
    if (automaton.may_end(state) && (text.size() >= budget || random() % one_end_in == 0)) break;
    std::vector<std::size_t> next;
    for (std::size_t kind = 0; kind < network.classes; ++kind) {
      if (automaton.step(state, bytes[kind][0]) != GrammarAutomaton::dead) next.push_back(kind);
    }
    if (next.empty()) throw Error({network.where, "a grammar whose steps are bytes", "one that names tokens", "give --model"});
    const std::size_t kind = text.size() < budget ? next[random() % next.size()] : nearest(next, [&](std::size_t of) {
      return automaton.distance_to_end(automaton.step(state, bytes[of][0]));
    });
    const std::uint8_t byte = bytes[kind][random() % bytes[kind].size()];
    text += static_cast<char>(byte);
    state = automaton.step(state, byte);
  }
  return text;
}

std::string random_text(GrammarMatcher matcher, const GrammarVocabulary& vocabulary, std::size_t budget, std::mt19937_64& random) {
  std::string text;
  std::vector<float> logits(vocabulary.size());
  for (std::size_t steps = 0; !matcher.must_end(); ++steps) {
    if (matcher.may_end() && (steps >= budget || random() % one_end_in == 0)) break;
    logits.assign(logits.size(), 0.0f);
    matcher.mask(logits);
    std::vector<TokenId> next;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const auto id = static_cast<TokenId>(i);
      const bool wanted = steps < budget || vocabulary.piece(id).size() <= 2;  // short ones suffice to come to an end
      if (std::isfinite(logits[i]) && wanted && !vocabulary.ends_text(id)) next.push_back(id);
    }
    if (next.empty()) throw Error({"the grammar", "a token that goes on", "none in this vocabulary", ""});
    const TokenId token = steps < budget ? next[random() % next.size()] : nearest(next, [&](TokenId id) {
      GrammarMatcher behind = matcher;
      behind.accept(id);
      return behind.bytes_to_end();
    });
    matcher.accept(token);
    text += vocabulary.piece(token);
  }
  return text;
}

}  // namespace vitrine
