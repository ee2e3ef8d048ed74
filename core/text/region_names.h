#pragma once

#include <string>
#include <vector>

namespace vitrine {

/// The countries and territories of ISO 3166 in English, as the Unicode CLDR calls them.
std::vector<std::string> region_names();

/// The languages of ISO 639-1 in English, as the Unicode CLDR calls them.
std::vector<std::string> language_names();

}  // namespace vitrine
