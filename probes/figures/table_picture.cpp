#include <algorithm>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"

namespace vitrine {
namespace {

constexpr double gap = 18.0, row_height = 20.0;
constexpr std::size_t longest_cell = 56, most_rows = 200;

bool is_number(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789+-.e[], %") == std::string::npos; }

struct Column {
  double left = 0.0, width = 0.0;
  bool numbers = true;
};

std::vector<Column> columns_of(const FigureTable& table, std::size_t rows) {
  std::vector<Column> columns;
  double left = 0.0;
  for (std::size_t c = 0; c < table.header.size(); ++c) {
    Column column{left, text_width(shortened(table.header[c], longest_cell), font_size) * 1.06, true};  // bold
    for (std::size_t r = 0; r < rows; ++r) {
      const std::string& cell = table.rows[r][c];
      column.width = std::max(column.width, text_width(shortened(cell, longest_cell), font_size));
      column.numbers &= cell.empty() || cell == "-" || is_number(cell);
    }
    left += column.width + gap;
    columns.push_back(column);
  }
  return columns;
}

std::string row_svg(const std::vector<std::string>& cells, const std::vector<Column>& columns, double y) {
  std::string svg;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const Column& column = columns[c];
    svg += text_svg({.x = column.left + (column.numbers ? column.width : 0.0), .y = y, .anchor = column.numbers ? "end" : "start"},
                    shortened(cells[c], longest_cell));
  }
  return svg + "\n";
}

}  // namespace

Picture picture_of(const FigureTable& table) {
  VITRINE_CHECK(std::ranges::all_of(table.rows, [&](const auto& row) { return row.size() == table.header.size(); }));
  const std::size_t rows = std::min(table.rows.size(), most_rows);
  const std::vector<Column> columns = columns_of(table, rows);
  const double width = columns.empty() ? 0.0 : columns.back().left + columns.back().width;
  Picture picture{text_svg({.x = 0.0, .y = 14.0, .size = 14.0}, table.title) + "\n", std::max(width, text_width(table.title, 14.0)),
                  table.title.empty() ? 0.0 : 24.0};
  const auto rule = [&](double y, const char* color) {
    return format("<line x1=\"0\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>", width, y, y, color);
  };
  picture.svg += "<g font-weight=\"bold\">" + row_svg(table.header, columns, picture.height + 14) + "</g>" +
                 rule(picture.height + row_height, "#9ca3af");
  picture.height += row_height;
  for (std::size_t r = 0; r < rows; ++r) {
    picture.svg += row_svg(table.rows[r], columns, picture.height + 15) + rule(picture.height + row_height + 1, "#e5e7eb");
    picture.height += row_height;
  }
  if (rows < table.rows.size()) {
    picture.svg += text_svg({.x = 0.0, .y = picture.height + 15, .fill = quiet_ink},
                            std::to_string(table.rows.size() - rows) + " more rows: in the CSV of this picture");
    picture.height += row_height;
  }
  return {picture.svg, picture.width, picture.height + 4.0};
}

}  // namespace vitrine
