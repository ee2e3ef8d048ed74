#include "core/decode/by_grammar.h"

#include "core/base/error.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

void mask_by(const GrammarMatcher& grammar, std::span<float> scores) {
  if (grammar.mask(scores) == 0) throw Error({"grammar", "a token of this model that goes on with the text", "none", ""});
}

/// Whether an end can be kept within reach: a token is at least one byte. Where the limit is too near from the beginning, it cannot.
bool can_end_within(const GrammarMatcher& grammar, std::size_t left) { return grammar.bytes_to_end() <= left; }

bool leaves_room(const GrammarMatcher& grammar, TokenId token, std::size_t left) {
  GrammarMatcher after = grammar;
  after.accept(token);
  return can_end_within(after, left);
}

/// Asks every token; leaves all where none leaves room (a vocabulary without the bytes that the end needs).
void keep_those_with_room(const GrammarMatcher& grammar, std::size_t left, std::span<float> scores) {
  std::vector<std::size_t> without;
  std::size_t with = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] == never_chosen) continue;
    if (leaves_room(grammar, static_cast<TokenId>(i), left)) ++with;
    else without.push_back(i);
  }
  if (with == 0) return;
  for (const std::size_t i : without) scores[i] = never_chosen;
}

}  // namespace

void mask_by(const GrammarMatcher& grammar, std::size_t left, std::span<float> scores) {
  constexpr std::size_t near = 64;  // bytes that one token may put between a text and its end; asking all of them takes longer than a token
  mask_by(grammar, scores);
  const std::size_t distance = grammar.bytes_to_end();
  if (can_end_within(grammar, left + 1) && left < distance + near) keep_those_with_room(grammar, left, scores);
}

TokenId choose_by_grammar(const GrammarMatcher& grammar, std::size_t left, std::vector<float>& scores, const std::function<TokenId(std::uint64_t stream)>& choose) {
  constexpr std::size_t tries = 16;  // behind which all tokens are asked
  std::vector<float> allowed = scores;
  const bool watches_end = can_end_within(grammar, left + 1);
  const auto does = [&](TokenId id) { return !watches_end || leaves_room(grammar, id, left); };
  TokenId id = choose(0);
  if (grammar.accepts(id) && does(id)) return id;
  mask_by(grammar, allowed);
  std::vector<TokenId> refused;
  for (std::uint64_t stream = 1;; ++stream) {
    scores = allowed;
    if (refused.size() == tries) keep_those_with_room(grammar, left, scores);
    else for (const TokenId none : refused) scores[static_cast<std::size_t>(none)] = never_chosen;
    if (highest(scores) == never_chosen) return id;  // none leaves room
    id = choose(stream);
    if (refused.size() == tries || does(id)) return id;
    refused.push_back(id);
  }
}

}  // namespace vitrine
