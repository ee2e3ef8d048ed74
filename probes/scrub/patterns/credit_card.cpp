#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?<![\d.-])\d(?:[ -]?\d){11,18}(?![\d-]))re",
  };
  return expressions_of("credit_card", patterns);
}

/// The check digit of ISO/IEC 7812-1, annex B (Luhn 1960): every second digit from the right counts twice, its own digits added.
bool checks(std::string_view match) {
  int sum = 0, first = -1;
  bool twice = false, differ = false;
  for (auto at = match.rbegin(); at != match.rend(); ++at) {
    if (*at < '0' || *at > '9') continue;
    const int digit = *at - '0', counted = twice ? 2 * digit : digit;
    sum += counted > 9 ? counted - 9 : counted;
    differ = differ || (first >= 0 && digit != first);
    first = digit;
    twice = !twice;
  }
  return sum % 10 == 0 && differ;
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found, checks);
}

}  // namespace

const Scrubber& scrubber_credit_card() {
  static const Scrubber scrubber{"credit_card", "CREDIT_CARD", "card numbers (ISO/IEC 7812) whose check digit fits", find};
  return scrubber;
}

}  // namespace vitrine
