#include <map>

#include "core/base/error.h"
#include "core/base/csv.h"
#include "experiments/data/pairs.h"

namespace vitrine {
namespace {

using Columns = std::map<std::string, std::string>;

/// CrowS-Pairs' names (Nangia et al. 2020), replaced by what the user names.
Columns columns_of(std::string_view map, const Csv& csv) {
  Columns columns{{"more", "sent_more"}, {"less", "sent_less"}};
  for (const auto& [role, name] : {std::pair("group", "bias_type"), std::pair("cluster", "anon_writer"), std::pair("direction", "stereo_antistereo")}) {
    if (csv.has(name)) columns[role] = name;
  }
  while (!map.empty()) {
    const std::string_view word = map.substr(0, map.find(','));
    const std::size_t equals = word.find('=');
    const std::string role(word.substr(0, equals));
    const bool known = role == "more" || role == "less" || role == "group" || role == "cluster" || role == "direction";
    if (!known || equals == std::string_view::npos) {
      throw Error({"--map", "more=, less=, group=, cluster= or direction= with a column's name", quoted(word), ""}, Fault::usage);
    }
    columns[role] = word.substr(equals + 1);
    map.remove_prefix(std::min(map.size(), word.size() + 1));
  }
  return columns;
}

}  // namespace

PairSet read_pairs(std::string_view text, std::string_view where, std::string_view map) {
  const Csv csv = parse_csv(text, where);
  const Columns columns = columns_of(map, csv);
  std::map<std::string, std::size_t> place;
  for (const auto& [role, name] : columns) place[role] = csv.column(name, where, "name the columns with --map more=COL,less=COL");
  PairSet set;
  set.cluster_unit = place.contains("cluster") ? columns.at("cluster") : "pair";
  set.license = "The data set was read from a file; its licence is its publisher's.";
  for (std::size_t r = 0; r < csv.rows.size(); ++r) {
    const auto field = [&](const char* role) { return place.contains(role) ? csv.rows[r][place.at(role)] : std::string(); };
    SentencePair pair{std::to_string(r), field("more"), field("less"), field("group"), field("cluster"), field("direction")};
    if (pair.cluster.empty()) pair.cluster = "pair " + pair.id;
    if (pair.more.empty() || pair.less.empty()) {
      throw Error({std::string(where) + ", line " + std::to_string(csv.lines[r]), "two sentences", "an empty one", ""});
    }
    set.pairs.push_back(std::move(pair));
  }
  if (set.pairs.empty()) throw Error({std::string(where), "at least one pair", "none", ""});
  return set;
}

}  // namespace vitrine
