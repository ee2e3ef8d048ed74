#include "probes/scrub/scrubber.h"

#include <algorithm>

#include "probes/scrub/name_patterns.h"

namespace vitrine {

void each_match_of(std::span<const RegularExpression> expressions, std::string_view text, const std::function<void(TextRange)>& found,
                   bool (*accept)(std::string_view match)) {
  for (const RegularExpression& expression : expressions) {
    expression.each_match(text, [&](TextRange range) {
      if (range.size() > 0 && (accept == nullptr || accept(text.substr(range.begin, range.size())))) found(range);
    });
  }
}

std::vector<RegularExpression> expressions_of(std::string_view name, std::span<const std::string> patterns) {
  std::vector<RegularExpression> expressions;
  for (const std::string& pattern : patterns) expressions.emplace_back(pattern, "scrubber " + std::string(name));
  return expressions;
}

std::string any_of(std::vector<std::string> words) {
  std::ranges::sort(words, [](const std::string& a, const std::string& b) { return a.size() != b.size() ? a.size() > b.size() : a < b; });
  std::string choice;
  for (const std::string& word : words) choice += (choice.empty() ? "" : "|") + escaped_literal(word);
  return choice;
}

}  // namespace vitrine
