#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)\b(?:aged?(?: of)?|at the age of|turned|turning) \K\d{1,3}\b(?![-.,]?\d))re",
      R"re((?i)\b\d{1,3}(?=[ -](?:years?|months?)[ -]old\b| ?(?:y/o|yrs?)\b))re",
      R"re((?i)\b(?:when|since|until) (?:he|she|they|i|we|you) (?:was|were) \K\d{1,2}\b(?![-.,/]?\d))re",
      R"re((?i)\b(?:i'?m|i am|(?:he|she) is) \K\d{1,2}\b(?= years|[.,;!?]? *$|,))re",
  };
  return expressions_of("age", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_age() {
  static const Scrubber scrubber{"age", "AGE", "ages in context", find};
  return scrubber;
}

}  // namespace vitrine
