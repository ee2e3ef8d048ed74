#include "viewer/data/results.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace vitrine {
namespace {

std::string text_or(const Json& json, const std::string& otherwise) { return json.is_string() ? json.string() : otherwise; }

void add_row(ResultTable& table, const Json& row) {
  if (!row.is_object()) return;
  if (table.header.empty()) {
    for (const auto& [name, value] : row.members()) table.header.push_back(name);
  }
  std::vector<Json>& cells = table.rows.emplace_back();
  for (const std::string& name : table.header) cells.push_back(row[name]);
}

}  // namespace

std::vector<std::string> texts_of(const Json& list) {
  std::vector<std::string> texts;
  if (!list.is_array()) return texts;
  for (const Json& each : list.items()) texts.push_back(text_or(each, each.dump()));
  return texts;
}

std::vector<std::string> notes_of(const Json& result) { return texts_of(result["notes"]); }

std::vector<double> matrix_of(const Json& rows, std::size_t& columns) {
  std::vector<double> values;
  columns = 0;
  if (!rows.is_array() || rows.items().empty() || !rows.items().front().is_array()) return values;
  columns = rows.items().front().items().size();
  for (const Json& row : rows.items()) {
    if (!row.is_array() || row.items().size() != columns) return {};
    for (const Json& cell : row.items()) values.push_back(cell.is_number() ? cell.number() : std::numeric_limits<double>::quiet_NaN());
  }
  return values;
}

std::vector<ResultTable> tables_of(const Json& analysis) {
  std::vector<ResultTable> tables;
  if (!analysis["tables"].is_array()) return tables;
  for (const Json& each : analysis["tables"].items()) {
    if (!each["rows"].is_array()) continue;
    ResultTable& table = tables.emplace_back();
    table.title = text_or(each["title"], "table " + std::to_string(tables.size()));
    for (const Json& row : each["rows"].items()) add_row(table, row);
  }
  return tables;
}

std::vector<FigureGrid> grids_of(const Json& analysis) {
  std::vector<FigureGrid> grids;
  if (!analysis["grids"].is_array()) return grids;
  for (const Json& each : analysis["grids"].items()) {
    FigureGrid grid{.title = text_or(each["title"], "grid"),
                    .row_axis = text_or(each["row_axis"], ""),
                    .column_axis = text_or(each["column_axis"], ""),
                    .unit = text_or(each["unit"], "")};
    grid.values = matrix_of(each["values"], grid.columns);
    if (grid.values.empty() || grid.columns == 0) continue;
    grid.rows = grid.values.size() / grid.columns;
    grid.row_labels = texts_of(each["rows"]);
    grid.column_labels = texts_of(each["columns"]);
    grid.row_labels.resize(grid.rows);
    grid.column_labels.resize(grid.columns);
    choose_colors(grid);
    grids.push_back(std::move(grid));
  }
  return grids;
}

void choose_colors(FigureGrid& grid, double middle, Middle how) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : grid.values) {
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  }
  if (!(low <= high)) low = middle, high = middle + 1.0;
  if (how == Middle::always || (low < middle && high > middle)) {
    const double reach = std::max({middle - low, high - middle, 1e-9});
    grid.colors = ColorMap::diverging;
    grid.low = middle - reach, grid.high = middle + reach;
    return;
  }
  grid.colors = ColorMap::viridis;
  const bool up = low >= 0.0 && low < high / 2, down = high <= 0.0 && high > low / 2;  // near enough to 0 to begin there
  grid.low = up ? 0.0 : low;
  grid.high = down ? 0.0 : high;
  if (!(grid.high > grid.low)) grid.high = grid.low + std::max(std::abs(grid.low), 1.0) * 1e-6;
}

std::optional<std::size_t> number_in_front(const std::string& label) {
  std::size_t value = 0;
  const auto [end, failure] = std::from_chars(label.data(), label.data() + label.size(), value);
  return failure == std::errc() ? std::optional(value) : std::nullopt;
}

std::string cell_text(const Json& cell) {
  if (cell.is_null()) return "-";
  if (cell.is_string()) return cell.string();
  if (!cell.is_number() || cell.is_integer()) return cell.dump();
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", cell.number());
  return text;
}

FigureTable figure_of(const ResultTable& table) {
  FigureTable figure{.title = table.title, .header = table.header};
  for (const std::vector<Json>& row : table.rows) {
    std::vector<std::string>& cells = figure.rows.emplace_back();
    for (const Json& cell : row) cells.push_back(cell.is_null() ? "" : cell.is_string() ? cell.string() : cell.dump());
  }
  return figure;
}

}  // namespace vitrine
