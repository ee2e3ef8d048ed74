#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>\"'(){}]{1,2000}[^\s<>\"'(){}.,;:!?])re",
  };
  return expressions_of("url", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_url() {
  static const Scrubber scrubber{"url", "DOMAIN_NAME", "addresses of pages and sites", find};
  return scrubber;
}

}  // namespace vitrine
