#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "experiments/output.h"
#include "experiments/study.h"
#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::string text_of(const Json& json) { return json.is_string() ? json.string() : std::string(); }

FigureTable table_from_json(const Json& json, const std::string& where) {
  FigureTable table{.title = text_of(json["title"])};
  if (!json["rows"].is_array()) throw Error({where, "a table with rows", "none", ""});
  for (const Json& row : json["rows"].items()) {
    if (!row.is_object()) throw Error({where, "rows of named cells", "something else", ""});
    if (table.header.empty()) {
      for (const auto& [name, cell] : row.members()) table.header.push_back(name);
    }
    std::vector<std::string>& cells = table.rows.emplace_back();
    for (const std::string& name : table.header)
      cells.push_back(row[name].is_number() ? format("%.6g", row[name].number()) : cell_of(row[name]));
  }
  return table;
}

}  // namespace

StudyResult read_study(const fs::path& folder) {
  const fs::path path = folder / "study.json";
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error({folder.string(), "a finished study, which has a study.json", "none", "see `vitrine study`"});
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string where = path.string();
  const Json json = parse_json(text, where);
  if (!json["estimates"].is_array() || !json["title"].is_string())
    throw Error({where, "a study with a title and estimates", "other JSON", "see `vitrine study`"});
  StudyResult result{.study = text_of(json["study"]),
                     .title = text_of(json["title"]),
                     .question = text_of(json["question"]),
                     .signature = json["signature"],
                     .estimates = {},
                     .notes = {},
                     .tables = {},
                     .items = {},
                     .licenses = {}};
  for (const Json& each : json["estimates"].items()) {
    const std::string place = where + ": estimate " + std::to_string(result.estimates.size() + 1);
    result.estimates.push_back(estimate_from_json(each, each["name"].is_string() ? place + " " + quoted(each["name"].string()) : place));
  }
  if (json["tables"].is_array()) {
    for (const Json& each : json["tables"].items())
      result.tables.push_back(table_from_json(each, where + ": table " + std::to_string(result.tables.size() + 1)));
  }
  if (json["notes"].is_array()) {
    for (const Json& each : json["notes"].items()) result.notes.push_back(text_of(each));
  }
  return result;
}

}  // namespace vitrine
