#include "core/text/region_names.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <string_view>

namespace vitrine {
namespace {

std::string utf8(const icu::UnicodeString& name) {
  std::string text;
  name.toUTF8String(text);
  return text;
}

}  // namespace

std::vector<std::string> region_names() {
  std::vector<std::string> names;
  for (const char* const* code = icu::Locale::getISOCountries(); *code != nullptr; ++code) {
    icu::UnicodeString name;
    names.push_back(utf8(icu::Locale("", *code).getDisplayCountry(icu::Locale::getEnglish(), name)));
  }
  return names;
}

std::vector<std::string> language_names() {
  std::vector<std::string> names;
  for (const char* const* code = icu::Locale::getISOLanguages(); *code != nullptr; ++code) {
    if (std::string_view(*code).size() != 2) continue;  // ISO 639-2 holds what nobody calls a people
    icu::UnicodeString name;
    names.push_back(utf8(icu::Locale(*code).getDisplayLanguage(icu::Locale::getEnglish(), name)));
  }
  return names;
}

}  // namespace vitrine
