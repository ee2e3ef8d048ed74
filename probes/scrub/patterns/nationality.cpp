#include "core/text/region_names.h"
#include "probes/scrub/name_patterns.h"
#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)(?<![\p{L}])(?:)re" + any_of(language_names()) + R"re()s?(?![\p{L}]))re",
      R"re((?i)\b(?:Christian|Muslim|Jewish|Hindu|Buddhist|Catholic|Protestant|Sikh|Atheist|Orthodox)s?\b)re",
  };
  return expressions_of("nationality", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_nationality() {
  static const Scrubber scrubber{"nationality", "NRP", "nationalities as far as they are called like languages (Unicode CLDR), religions", find};
  return scrubber;
}

}  // namespace vitrine
