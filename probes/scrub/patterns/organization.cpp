#include "probes/scrub/name_patterns.h"
#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re(\b(?:(?!The\b|A\b|I\b|At\b|In\b)\p{Lu}[\p{L}\d&'’.-]*,? ){1,4}(?:Inc|LLC|Ltd|Corp|Corporation|Company|)re"
          R"re(Co|GmbH|AG|PLC|plc|Group|Holdings|Partners|Bank|University|Institute|Foundation|Association|Technologies|)re"
          R"re(Solutions|Systems|Software|Consulting|Services|Capital|Labs|Networks|Media|Health|Insurance)\b\.?)re",
      R"re(\b)re" + capitalized + R"re(, )re" + capitalized + R"re( and )re" + capitalized + R"re(\b)re",
      R"re(\b)re" + capitalized + R"re( and Sons\b)re",
      R"re(\b)re" + capitalized + R"re( (?:LLC|PLC|Group|Inc|Ltd)\b)re",
      R"re(^[ >?]*\K\p{Lu}\p{Ll}+-\p{Lu}\p{Ll}+$)re",
      R"re((?i:\b(?:work(?:s|ed|ing)? (?:for|at)|employed by|office of|offices of))\s+\K(?-i:\p{Lu}[\p{L}\d&'’.-]*(?: \p{Lu}[\p{L}\d&'’.-]*){0,3}))re",
  };
  return expressions_of("organization", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_organization() {
  static const Scrubber scrubber{"organization", "ORGANIZATION", "companies and institutions by their endings, or in context", find};
  return scrubber;
}

}  // namespace vitrine
