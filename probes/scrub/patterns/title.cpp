#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re(\b(?:Mr|Mrs|Ms|Dr|Prof)\.(?!\w))re",
      R"re((?i)\b(?:mr|mrs|ms|dr|prof)\.(?=\s+\p{L}))re",
      R"re(\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Madam)(?=\s+\p{Lu}))re",
  };
  return expressions_of("title", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_title() {
  static const Scrubber scrubber{"title", "TITLE", "titles before names: Mr., Dr., ...", find};
  return scrubber;
}

}  // namespace vitrine
