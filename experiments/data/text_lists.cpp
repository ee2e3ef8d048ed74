#include "experiments/data/text_lists.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/csv.h"

namespace vitrine {
namespace {

std::string kind_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "a truth value";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "a list";
  return value.is_object() ? "an object" : "a string";
}

std::string names_of(const Json::Object& members) {
  std::string names;
  for (const auto& [name, value] : members) names += (names.empty() ? "" : ", ") + quoted(name);
  return names.empty() ? "an empty object" : names;
}

/// @param where  names file and line
std::string text_in(const Json& item, std::string_view field, const std::string& where) {
  if (!item.is_object()) throw Error({where, "a JSON object", kind_of(item), ""});
  const Json::Object& members = item.members();
  const auto found = std::find_if(members.begin(), members.end(), [&](const auto& member) { return member.first == field; });
  if (found == members.end()) throw Error({where, "a field " + quoted(field), names_of(members), "name another with --field"});
  if (!found->second.is_string()) throw Error({where + ", field " + quoted(field), "a string", kind_of(found->second), ""});
  return found->second.string();
}

}  // namespace

std::vector<std::string> lines_of(std::string_view content) {
  if (content.starts_with("\xef\xbb\xbf")) content.remove_prefix(3);
  std::vector<std::string> lines;
  while (!content.empty()) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    if (end < content.size() && line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    content.remove_prefix(std::min(end + 1, content.size()));
  }
  return lines;
}

std::vector<std::string> jsonl_texts(std::string_view content, std::string_view field, std::string_view where) {
  std::vector<std::string> texts;
  std::size_t number = 0;
  for (const std::string& line : lines_of(content)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string place = std::string(where) + ", line " + std::to_string(number);
    texts.push_back(text_in(parse_json(line, place), field, place));
  }
  return texts;
}

std::vector<std::string> csv_texts(std::string_view content, std::string_view column, std::string_view where) {
  Csv csv = parse_csv(content, where);
  const std::size_t place = csv.column(column, where, "name another with --column");
  std::vector<std::string> texts;
  for (auto& row : csv.rows) texts.push_back(std::move(row[place]));
  return texts;
}

}  // namespace vitrine
