#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

const std::string state = R"re((?:A[AEKLPRSZ]|C[AOT]|D[CE]|F[LM]|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|)re"
    R"re(O[HKR]|P[ARW]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]))re";

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)\b(?:zip|post(?:al)?)[ -]?(?:code)?(?: is|:)? *\K\d{3,5}(?:-?\d{2,4}| \d{2}| [A-Z]{2})?\b)re",
      R"re(\b)re" + state + R"re(,?\s+\K\d{5}(?:-\d{4})?(?![\d-]))re",
      R"re((?i)\b(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d|[A-HK-Y]\d\d|\d[A-HJKS-UW]|[A-HK-Y]\d[ABEHMNPRV-Y]) \d[ABD-HJLNP-UW-Z]{2})\b)re",
      R"re(\p{Lu}[\p{L} ]{2,40} \K\d{3} ?\d{2}(?=\s*$))re",
      R"re(\p{Lu}[\p{L} ]{2,40} \K\d{4,5}(?:-\d{3,4})?(?=\s*$))re",
  };
  return expressions_of("zip_code", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_zip_code() {
  static const Scrubber scrubber{"zip_code", "ZIP_CODE", "postal codes in context", find};
  return scrubber;
}

}  // namespace vitrine
