#include <charconv>
#include <cmath>

#include "core/base/csv_line.h"
#include "core/base/error.h"
#include "probes/figures/figure.h"

namespace vitrine {
namespace {

using Fields = std::vector<std::string>;

/// The digits that bring the same number back; NaN is empty.
std::string exact(double value) {
  if (std::isnan(value)) return {};
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string exact(const std::optional<double>& value) { return value ? exact(*value) : std::string(); }

std::string titled(const std::string& title) {
  std::string line = "# ";
  for (const char c : title) line += c == '\n' || c == '\r' ? ' ' : c;
  return line + "\r\n";
}

/// Of a cell: its block's, with its place in it where a block has several.
std::string label(const std::vector<std::string>& labels, std::size_t place, std::size_t block) {
  if (labels.empty()) return std::to_string(place);
  return block == 1 ? labels[place] : labels[place / block] + "." + std::to_string(place % block);
}

std::string csv_of(const FigureGrid& grid) {
  VITRINE_CHECK(grid.values.size() == grid.rows * grid.columns);
  Fields header{grid.row_axis + "\\" + grid.column_axis};
  for (std::size_t c = 0; c < grid.columns; ++c) header.push_back(label(grid.column_labels, c, grid.block_columns));
  std::string text = titled(grid.unit.empty() ? grid.title : grid.title + " [" + grid.unit + "]") + csv_line(header);
  for (std::size_t r = 0; r < grid.rows; ++r) {
    Fields row{label(grid.row_labels, r, grid.block_rows)};
    for (std::size_t c = 0; c < grid.columns; ++c) row.push_back(exact(grid.values[r * grid.columns + c]));
    text += csv_line(row);
  }
  return text;
}

std::string csv_of(const FigureText& figure) {
  VITRINE_CHECK(figure.spans.size() == figure.values.size());
  std::string text = titled(figure.title) + csv_line(Fields{"place", "text", figure.unit.empty() ? "value" : figure.unit});
  for (std::size_t i = 0; i < figure.spans.size(); ++i)
    text += csv_line(Fields{std::to_string(i), figure.spans[i], exact(figure.values[i])});
  return text;
}

std::string csv_of(const FigurePoints& figure) {
  const std::string &x = figure.x_axis, &y = figure.y_axis;
  std::string text = titled(figure.title) + csv_line(Fields{"name", x, x + " low", x + " high", y, y + " low", y + " high", "marked"});
  for (const FigurePoints::Point& point : figure.points) {
    text += csv_line(Fields{point.name, exact(point.x), exact(point.x_low), exact(point.x_high), exact(point.y), exact(point.y_low),
                            exact(point.y_high), point.marked ? "1" : "0"});
  }
  return text;
}

std::string csv_of(const FigureEstimates& figure) {
  std::string text = titled(figure.title) + csv_line(Fields{"name", "value", "low", "high", "level", "unit", "n", "clusters", "method",
                                                            "null", "control", "p", "family", "margin", "verdict", "reason"});
  for (const Estimate& e : figure.rows) {
    const bool has_p = e.p && !e.family.empty();  // a p never stands without its family
    text += csv_line(Fields{e.name, exact(e.value), exact(e.low), exact(e.high), exact(e.level), e.unit, std::to_string(e.n),
                            std::to_string(e.clusters), e.method, exact(e.null_value), exact(e.control), has_p ? exact(e.p) : "", e.family,
                            exact(e.margin), std::string(verdict_name(e.verdict)), e.reason});
  }
  return text;
}

std::string csv_of(const FigureTable& table) {
  std::string text = titled(table.title) + csv_line(table.header);
  for (const Fields& row : table.rows) text += csv_line(row);
  return text;
}

}  // namespace

std::string figure_csv(const Figure& figure) {
  std::string text;
  const auto add_all = [&](const auto& parts) {
    for (const auto& part : parts) text += (text.empty() ? "" : "\r\n") + csv_of(part);
  };
  add_all(figure.grids);
  add_all(figure.texts);
  add_all(figure.points);
  add_all(figure.estimates);
  add_all(figure.tables);
  return text;
}

}  // namespace vitrine
