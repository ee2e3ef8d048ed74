#include "core/text/region_names.h"
#include "probes/scrub/name_patterns.h"
#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

const std::string place_word = R"re(\p{Lu}[\p{L}'’-]+)re";

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)(?<![\p{L}])(?:)re" + any_of(region_names()) + R"re()(?![\p{L}]))re",
      R"re((?i:\b(?:lives? in|lived in|live in|moved (?:here )?from|travell?ing to|trip to|visit(?:ing)?|city of|)re"
          R"re(born in|based in|originally from|home city|University of|returned to|arrived at|am in))\s+\K(?-i:)re" +
          stop_words + place_word + R"re((?: )re" + place_word + R"re(){0,2}))re",
      R"re(^[ >?]*\K\p{Lu}{2}[\p{Lu} '-]{1,30}(?=(?:,| [A-Z]{2} \d{5})?\s*$))re",
      R"re(^[ >?]*\K)re" + capitalized + R"re($)re",
  };
  return expressions_of("location", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_location() {
  static const Scrubber scrubber{"location", "GPE", "countries (names of the Unicode CLDR), places in context", find};
  return scrubber;
}

}  // namespace vitrine
