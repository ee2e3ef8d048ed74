#include "core/text/names.h"

#include <algorithm>

#include "core/base/nearest.h"

namespace vitrine {

std::string one_of(std::string_view unknown, std::vector<std::string> known) {
  std::sort(known.begin(), known.end());
  const std::vector<std::string_view> words(known.begin(), known.end());
  const std::string_view nearest = nearest_word(unknown.substr(0, 64), words);  // a stranger's name may be long
  return (nearest.empty() ? "" : std::string(nearest) + " (the nearest), or ") + "one of " + joined(words);
}

}  // namespace vitrine
