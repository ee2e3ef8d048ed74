#include "probes/analysis.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

template <typename Number>
Number parse(std::string_view name, const std::string& text, Number least, Number most) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= least && value <= most)) {
    throw Error({"--set " + std::string(name), "a number from " + Json(least).dump() + " to " + Json(most).dump(), quoted(text), ""}, Fault::usage);
  }
  return value;
}

Json texts(std::span<const std::string> list) {
  Json array = Json::array();
  for (const std::string& text : list) array.push(text);
  return array;
}

Json to_json(const AnalysisTable& table) {
  Json rows = Json::array();
  for (const std::vector<Json>& row : table.rows) {
    VITRINE_CHECK(row.size() == table.header.size());
    Json object;
    for (std::size_t c = 0; c < row.size(); ++c) object.set(table.header[c], row[c]);
    rows.push(object);
  }
  return Json::object().set("title", table.title).set("rows", rows);
}

Json to_json(const AnalysisGrid& grid) {
  const std::size_t columns = grid.column_labels.size();
  VITRINE_CHECK(grid.values.size() == grid.row_labels.size() * columns);
  Json rows = Json::array();
  for (std::size_t r = 0; r < grid.row_labels.size(); ++r) {
    Json row = Json::array();
    for (std::size_t c = 0; c < columns; ++c) row.push(std::isfinite(grid.values[r * columns + c]) ? Json(grid.values[r * columns + c]) : Json());
    rows.push(row);
  }
  Json json;
  json.set("title", grid.title).set("row_axis", grid.row_axis).set("column_axis", grid.column_axis).set("unit", grid.unit);
  return json.set("rows", texts(grid.row_labels)).set("columns", texts(grid.column_labels)).set("values", rows);
}

}  // namespace

AnalysisOptions::AnalysisOptions(std::span<const AnalysisOption> known, std::span<const std::string> words) {
  std::string names;
  for (const AnalysisOption& option : known) {
    values_.emplace(option.name, option.fallback);
    names += (names.empty() ? "" : ", ") + std::string(option.name);
  }
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    const auto found = values_.find(word.substr(0, equals));
    if (equals == std::string::npos || found == values_.end()) {
      throw Error({"--set", names.empty() ? "nothing: this analysis has no settings" : "name=value of " + names, quoted(word), ""}, Fault::usage);
    }
    found->second = word.substr(equals + 1);
  }
}

const std::string& AnalysisOptions::text(std::string_view name) const {
  const auto found = values_.find(name);
  VITRINE_CHECK(found != values_.end());
  return found->second;
}

std::size_t AnalysisOptions::whole(std::string_view name, std::size_t least, std::size_t most) const {
  return parse<std::uint64_t>(name, text(name), least, most);
}

double AnalysisOptions::number(std::string_view name, double least, double most) const { return parse<double>(name, text(name), least, most); }

const std::string& AnalysisOptions::choice(std::string_view name, std::initializer_list<std::string_view> of) const {
  const std::string& value = text(name);
  std::string expected;
  for (const std::string_view word : of) {
    if (word == value) return value;
    expected += (expected.empty() ? "" : ", ") + std::string(word);
  }
  throw Error({"--set " + std::string(name), expected, quoted(value), ""}, Fault::usage);
}

AnalysisGrid head_grid(std::string title, std::string unit, std::size_t heads, std::vector<double> values) {
  VITRINE_CHECK(heads > 0 && values.size() % heads == 0);
  AnalysisGrid grid{.title = std::move(title), .row_axis = "layer", .column_axis = "head", .unit = std::move(unit), .row_labels = {}, .column_labels = {}, .values = std::move(values)};
  for (std::size_t layer = 0; layer < grid.values.size() / heads; ++layer) grid.row_labels.push_back(std::to_string(layer));
  for (std::size_t head = 0; head < heads; ++head) grid.column_labels.push_back(std::to_string(head));
  return grid;
}

FigureGrid figure_of(const AnalysisGrid& grid) {
  double low = 0.0, high = 0.0;
  for (const double value : grid.values) {
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  }
  const double most = std::max(-low, high) > 0.0 ? std::max(-low, high) : 1.0;
  FigureGrid figure{.title = grid.title, .row_axis = grid.row_axis, .column_axis = grid.column_axis, .unit = grid.unit, .rows = grid.row_labels.size(),
                    .columns = grid.column_labels.size(), .row_labels = grid.row_labels, .column_labels = grid.column_labels, .values = grid.values};
  for (double& value : figure.values) value = std::isfinite(value) ? value : std::numeric_limits<double>::quiet_NaN();
  figure.colors = low < 0.0 ? ColorMap::diverging : ColorMap::viridis;
  figure.low = low < 0.0 ? -most : 0.0;
  figure.high = most;
  return figure;
}

FigureTable figure_of(const AnalysisTable& table) {
  FigureTable figure{.title = table.title, .header = table.header};
  for (const std::vector<Json>& row : table.rows) {
    std::vector<std::string>& cells = figure.rows.emplace_back();
    for (const Json& value : row) {
      cells.push_back(value.is_null() ? "-" : value.is_string() ? value.string() : value.is_number() && !value.is_integer() ? format("%.5g", value.number()) : value.dump());
    }
  }
  return figure;
}

Json to_json(const AnalysisResult& result) {
  Json tables = Json::array(), grids = Json::array(), estimates = Json::array();
  for (const AnalysisTable& table : result.tables) tables.push(to_json(table));
  for (const AnalysisGrid& grid : result.grids) grids.push(to_json(grid));
  for (const Estimate& estimate : result.estimates) estimates.push(to_json(estimate));
  Json json = Json::object().set("tables", tables).set("grids", grids).set("estimates", estimates).set("notes", texts(result.notes));
  if (!result.extra.is_null()) json.set("extra", result.extra);
  return json;
}

}  // namespace vitrine
