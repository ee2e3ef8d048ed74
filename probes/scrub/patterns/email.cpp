#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?<![\w.+-])[\w.!#$%&'*+\/=?^`{|}~-]{1,64}@(?:[\p{L}\d](?:[\p{L}\d-]{0,61}[\p{L}\d])?\.){1,8}\p{L}{2,24}(?![\w-]))re",
  };
  return expressions_of("email", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_email() {
  static const Scrubber scrubber{"email", "EMAIL_ADDRESS", "e-mail addresses", find};
  return scrubber;
}

}  // namespace vitrine
