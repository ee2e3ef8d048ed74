#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

const std::string month = R"re((?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|)re"
    R"re(Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?))re";

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?<![\d-])\d{4}-(?:0?[1-9]|1[0-2])-(?:0?[1-9]|[12]\d|3[01])(?:[ T]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\d-]))re",
      R"re((?<![\d/])(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|[12]\d|3[01])/(?:\d{4}|\d{2})(?![\d/]))re",
      R"re((?<![\d.])(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.(?:\d{4}|\d{2})(?![\d.]))re",
      R"re(\b)re" + month + R"re(\.? \d{1,2}(?:st|nd|rd|th)?(?:,? \d{4})?\b)re",
      R"re(\b\d{1,2}(?:st|nd|rd|th)? (?:of )?)re" + month + R"re(\.?(?:,? \d{4})?\b)re",
      R"re(\b)re" + month + R"re(,? \d{4}\b)re",
      R"re(\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b)re",
      R"re((?i)\b(?:in|since|during|until|from|by|of|year|born|a) \K(?:1[89]|20)\d{2}\b(?!-|\d|[.,]\d))re",
      R"re((?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.?m\b\.?)?(?![\d:]))re",
  };
  return expressions_of("date", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_date() {
  static const Scrubber scrubber{"date", "DATE_TIME", "dates, days of the week, years in context, times", find};
  return scrubber;
}

}  // namespace vitrine
