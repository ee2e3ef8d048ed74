#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)\b(?:driver'?s?|driving) licen[sc]e(?: (?:number|no\.?|#))?(?: is|:)? *\K(?=[A-Z\d -]*\d)[A-Z\d][A-Z\d-]{4,18}\b)re",
  };
  return expressions_of("us_driver_license", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_us_driver_license() {
  static const Scrubber scrubber{"us_driver_license", "US_DRIVER_LICENSE", "numbers of driving licences in context", find};
  return scrubber;
}

}  // namespace vitrine
