#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b)re",
  };
  return expressions_of("iban", patterns);
}

/// ISO 13616: country and check digits behind the rest, letters as 10 to 35, leaves 1 when divided by 97.
bool checks(std::string_view match) {
  std::string letters;
  for (const char c : match) {
    if (c != ' ') letters += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  unsigned rest = 0;
  for (const char c : letters.substr(4) + letters.substr(0, 4)) rest = c <= '9' ? (rest * 10 + static_cast<unsigned>(c - '0')) % 97 : (rest * 100 +
      static_cast<unsigned>(c - 'A') + 10) % 97;
  return rest == 1;
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found, checks);
}

}  // namespace

const Scrubber& scrubber_iban() {
  static const Scrubber scrubber{"iban", "IBAN_CODE", "international bank account numbers (ISO 13616) whose check digits fit", find};
  return scrubber;
}

}  // namespace vitrine
