#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?<![\d-])(?!000|666|9)\d{3}[- ](?!00)\d{2}[- ](?!0000)\d{4}(?![\d-]))re",
  };
  return expressions_of("us_ssn", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_us_ssn() {
  static const Scrubber scrubber{"us_ssn", "US_SSN", "social security numbers of the United States", find};
  return scrubber;
}

}  // namespace vitrine
