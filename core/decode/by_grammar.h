#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/decode/grammar/matcher.h"

namespace vitrine {

/// Leaves the tokens that a grammar allows next and, where an end is near, those that leave room for it.
/// @param left  tokens that may be made behind this one  @throws Error where none is left
void mask_by(const GrammarMatcher& grammar, std::size_t left, std::span<float> scores);

/// Chooses among the tokens that a grammar allows and that leave room to end the text within `left` more tokens, as far as that can be done:
/// a text that is cut in the middle of a grammar is of no use to whoever reads it. The token that comes out is tried first, and only where it
/// does not do are the others masked; what is drawn again is drawn by a number of its own, so that what comes is drawn from that part of the
/// whole distribution that is allowed.
/// @param scores  [vocabulary], which `choose` changes  @param choose  by a stream of random numbers
TokenId choose_by_grammar(const GrammarMatcher& grammar, std::size_t left, std::vector<float>& scores, const std::function<TokenId(std::uint64_t stream)>& choose);

}  // namespace vitrine
