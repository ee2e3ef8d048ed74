#include "probes/scrub/scrubber.h"

#include <algorithm>

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?<![\w+.(-])(?:\+|00)\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,5}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w-]))re",
      R"re((?<![\w+.(-])\(\+?\d{1,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,4}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w-]))re",
      R"re((?<![\w+.(-])\d{3}[ .-]\d{3}[ .-]\d{4}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w-]))re",
      R"re((?<![\w+.(-])0\d{1,4}(?:[ .-]\d{2,4}){2,5}(?![\w-]))re",
      R"re((?<![\w+.(-])\d{2,3}(?:[ .-]\d{2,3}){2,4}(?![\w-]))re",
      R"re((?<![\w+.(-])0\d{2,4}[ -]\d{6,8}(?![\w-]))re",
      R"re((?<![\w+.(-])\d{2,4}[ -]\d{4}(?:[ -]\d{4})?(?![\w-]))re",
      R"re((?i)\b(?:phone|mobile|cell|fax|desk|tel|call me (?:at|on)|reach me (?:at|on))\b[^\d\n(+]{0,20}\K[+(]?\d[\d ().x-]{4,20}\d)re",
  };
  return expressions_of("phone", patterns);
}

bool checks(std::string_view match) {
  const std::string_view number = match.substr(0, match.find_first_of("xeX"));  // without an extension
  const auto digits = std::count_if(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits >= 7 && digits <= 15;
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found, checks);
}

}  // namespace

const Scrubber& scrubber_phone() {
  static const Scrubber scrubber{"phone", "PHONE_NUMBER", "telephone numbers of 7 to 15 digits (ITU-T E.164), in the usual groups", find};
  return scrubber;
}

}  // namespace vitrine
