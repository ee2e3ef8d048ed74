#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vitrine {

/// The known word that takes the fewest insertions, deletions and replacements to write (Levenshtein 1966), letters of both
/// cases alike; the first of several. Empty where nothing is known.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

/// "a, b, c"
std::string joined(std::span<const std::string_view> words);

}  // namespace vitrine
