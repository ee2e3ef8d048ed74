#pragma once

#include <cstddef>
#include <random>
#include <string>

#include "core/decode/grammar/matcher.h"

namespace vitrine {

/// A random text of a grammar: at each step any step that the grammar allows, an end where one is allowed by chance, and behind
/// `budget` steps the shortest way to an end. The steps are kinds of bytes.
std::string random_text(const Grammar& grammar, std::size_t budget, std::mt19937_64& random);
/// The same in tokens, through the masks that hold a model to a grammar. @throws Error where the vocabulary has no way on
std::string random_text(GrammarMatcher matcher, const GrammarVocabulary& vocabulary, std::size_t budget, std::mt19937_64& random);

}  // namespace vitrine
