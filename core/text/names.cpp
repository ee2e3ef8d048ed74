#include "core/text/names.h"

#include <algorithm>
#include <numeric>

namespace vitrine {
namespace {

/// Insertions, deletions and replacements between two names (Levenshtein 1966).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string one_of(std::string_view unknown, std::vector<std::string> known) {
  std::sort(known.begin(), known.end());
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  const std::string_view cut = unknown.substr(0, 64);  // a stranger's name may be long
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
    return distance(cut, a) < distance(cut, b);
  });
  const bool near = nearest != known.end() && distance(cut, *nearest) <= std::max<std::size_t>(2, nearest->size() / 3);
  return (near ? *nearest + " (the nearest), or " : "") + "one of " + list;
}

}  // namespace vitrine
