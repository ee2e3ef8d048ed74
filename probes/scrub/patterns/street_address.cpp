#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

const std::string ending = R"re((?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|)re"
    R"re(Square|Sq|Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Trl|Close|Crescent|Gardens|Grove|Hill|)re"
    R"re(Row|Mews|Walk))re";
const std::string word = R"re([\p{L}][\p{L}'’.-]*)re";
const std::string unit = R"re((?:Apt|Apartment|Suite|Ste|Unit|Room|Rm|Floor|Flat|Box|Bldg)\.? ?#?\d[\w-]*)re";

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re((?i)(?<![\w.])\d{1,5}[A-Z]?,? (?:)re" + word + R"re(,? ){1,4}?)re" + ending + R"re(\b\.?(?:,? +)re" + unit + R"re()?)re",
      R"re((?i)\b)re" + word + R"re((?:stra(?:ss|ß)e|str\.|straat|gasse|weg|allee|platz|gatan|vägen|gata|vej|gade|)re"
          R"re(katu|tie|laan|plein|utca|ulica|ulice|út|tänav|vegen|veien|polku|kuja|kade|stræde)(?:\s+\d{1,5}\s?\p{L}?\b)?)re",
      R"re((?i)\b(?:rue|rua|calle|via|viale|piazza|avenida|avenue|boulevard|chemin|place|plaza|ulica|ul\.|rúa|c/|)re"
          R"re(praça|largo|strada|corso|impasse|route|quai|travessa|camino|carrera) (?:)re" + word + R"re( ?){1,4}(?:,? ?\d{1,5}\b)?)re",
      R"re((?i)\b)re" + unit + R"re(\b)re",
      R"re((?i)\bP\.? ?O\.? ?Box \d{1,6}\b)re",
      R"re(\b(?:PSC|Unit|CMR) \d{3,5},? Box \d{3,5}(?:\s+[AFD]PO A[AEP] \d{5})?)re",
      R"re((?i)(?:lives? (?:at|on)|address(?: is|:| to)?|located (?:at|in)|(?:sent|deliver(?:ed)?|mail(?:ed)?|post(?:ed)?) to|)re"
          R"re(meet(?: me| you)? at|taxi to) \K\d{1,5} \p{Lu}[^\n,.?!]{2,60})re",
      R"re(^[ >?]*\K\d{1,5} \p{L}[\p{L}'’. -]{2,50}$)re",
      R"re(^[ >?]*\K(?:\p{Lu}[\p{L}'’.-]{1,30} ){1,4}\d{1,4}\p{L}?$)re",
  };
  return expressions_of("street_address", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_street_address() {
  static const Scrubber scrubber{"street_address", "STREET_ADDRESS", "streets with numbers, flats, boxes, in a dozen languages", find};
  return scrubber;
}

}  // namespace vitrine
