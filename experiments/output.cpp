#include "experiments/output.h"

#include "core/base/csv.h"

namespace vitrine {

std::string cell_of(const Json& value) {
  if (value.is_null()) return {};
  return value.is_string() ? value.string() : value.dump();
}

std::string csv_of(std::span<const Json> rows, std::span<const std::string> columns) {
  std::string text = csv_line(columns);
  for (const Json& row : rows) {
    std::vector<std::string> cells;
    for (const std::string& column : columns) cells.push_back(cell_of(row[column]));
    text += csv_line(cells);
  }
  return text;
}

Json sequences_of(std::vector<Json> results, Json signature) {
  Json list = Json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    Json row = Json::object().set("id", static_cast<std::uint64_t>(i));
    for (const auto& [name, value] : results[i].members()) row.set(name, value);
    list.push(std::move(row));
  }
  return Json::object().set("sequences", std::move(list)).set("signature", std::move(signature));
}

}  // namespace vitrine
