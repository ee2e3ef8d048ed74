#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/figures/axis_internal.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"

// Cells with labels on the left and below, their colours explained on the right. Few cells are rectangles that say their numbers when one
// points at them, many are one image.

namespace vitrine {
namespace {

constexpr double largest_cell = 26.0, most_pixels = 720.0;
constexpr std::size_t most_rectangles = 2500, longest_label = 40;

bool is_number(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789.-+") == std::string::npos; }

/// Labels along one axis, those that are shown.
struct Labels {
  std::vector<std::size_t> places;
  double width = 0.0;  ///< of the widest
  bool turned = false;
};

double widest(const std::vector<std::string>& labels, std::size_t step) {
  double width = 0.0;
  for (std::size_t i = 0; i < labels.size(); i += step) width = std::max(width, text_width(shortened(labels[i], longest_label), font_size));
  return width;
}

Labels every(const std::vector<std::string>& labels, std::size_t step, bool turned) {
  Labels shown{.places = {}, .width = widest(labels, step), .turned = turned};
  for (std::size_t i = 0; i < labels.size(); i += step) shown.places.push_back(i);
  return shown;
}

Labels row_labels(const FigureGrid& grid, double cell) { return every(grid.row_labels, label_step(cell, 13.0), false); }

/// Numbers stay upright and are thinned; words are turned where they would meet.
Labels column_labels(const FigureGrid& grid, double cell) {
  const double upright = widest(grid.column_labels, 1) + 8.0;
  const bool numbers = std::ranges::all_of(grid.column_labels, is_number);
  if (numbers || upright <= cell) return every(grid.column_labels, label_step(cell, upright), false);
  return every(grid.column_labels, label_step(cell, 13.0), true);
}

/// Where the cells are.
struct Frame {
  double left = 0.0, top = 0.0, cell = 1.0, width = 0.0, height = 0.0;
};

/// Whether the rows' axis has room for its name beside it; else the name stands above.
bool axis_is_turned(const FigureGrid& grid, double cell) {
  return !grid.row_axis.empty() && text_width(grid.row_axis, font_size) <= cell * static_cast<double>(grid.rows) + 8.0;
}

std::string name_at(const std::string& axis, const std::vector<std::string>& labels, std::size_t place) {
  const std::string label = labels.empty() ? std::to_string(place) : labels[place];
  return axis.empty() ? label : axis + " " + label;
}

std::string rectangles(const FigureGrid& grid, const ColorScale& scale, const Frame& frame) {
  std::string svg = "<g shape-rendering=\"crispEdges\">\n";
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const std::size_t row = i / grid.columns, column = i % grid.columns;
    const double value = grid.values[i], x = frame.left + frame.cell * static_cast<double>(column), y = frame.top + frame.cell * static_cast<double>(row);
    svg += format("<rect x=\"%.4g\" y=\"%.4g\" width=\"%.4g\" height=\"%.4g\" fill=\"%s\"><title>", x, y, frame.cell, frame.cell, hex_of(scale.color(value)).c_str());
    svg += escaped(name_at(grid.row_axis, grid.row_labels, row) + ", " + name_at(grid.column_axis, grid.column_labels, column) + ": " +
                   (std::isnan(value) ? "undefined" : format("%.6g", value) + (grid.unit.empty() ? "" : " " + grid.unit)));
    svg += "</title></rect>\n";
  }
  return svg + "</g>\n";
}

std::string image(const FigureGrid& grid, const ColorScale& scale, const Frame& frame) {
  std::vector<std::uint8_t> places;
  places.reserve(grid.values.size());
  for (const double value : grid.values) places.push_back(std::isnan(value) ? undefined_place : static_cast<std::uint8_t>(std::lround(scale.position(value) * palette_steps)));
  return image_svg({frame.left, frame.top, frame.width, frame.height, "pixelated"}, places, grid.columns, grid.colors);
}

std::string labels_svg(const FigureGrid& grid, const Frame& frame, const Labels& rows, const Labels& columns) {
  std::string svg;
  for (const std::size_t place : rows.places) {
    const double y = frame.top + frame.cell * (static_cast<double>(place) + 0.5);
    svg += text_svg({.x = frame.left - 6, .y = y + 4, .anchor = "end"}, shortened(grid.row_labels[place], longest_label)) + "\n";
  }
  const double bottom = frame.top + frame.height;
  for (const std::size_t place : columns.places) {
    const double x = frame.left + frame.cell * (static_cast<double>(place) + 0.5);
    const TextAt upright{.x = x, .y = bottom + 15, .anchor = "middle"}, turned{.x = x + 4, .y = bottom + 6, .anchor = "end", .turn = -90.0};
    svg += text_svg(columns.turned ? turned : upright, shortened(grid.column_labels[place], longest_label)) + "\n";
  }
  if (grid.row_axis.empty()) return svg;
  const TextAt turned{.x = 11.0, .y = frame.top + frame.height / 2, .anchor = "middle", .fill = quiet_ink, .turn = -90.0}, above{.x = 0.0, .y = frame.top - 5, .fill = quiet_ink};
  return svg + (axis_is_turned(grid, frame.cell) ? text_svg(turned, grid.row_axis) : text_svg(above, grid.row_axis + " \u2193"));
}

Frame frame_of(const FigureGrid& grid, const Labels& rows, const Labels& columns, double cell) {
  const bool turned = axis_is_turned(grid, cell), above = !grid.row_axis.empty() && !turned;
  double left = (turned ? 20.0 : 0.0) + (rows.places.empty() ? 0.0 : rows.width + 8.0);
  if (!columns.turned) left = std::max(left, (columns.width - cell) / 2);
  return {left, (grid.title.empty() ? 6.0 : 26.0) + (above ? line_height : 0.0), cell, cell * static_cast<double>(grid.columns), cell * static_cast<double>(grid.rows)};
}

/// Whole pixels, so that every cell has the same size.
double cell_of(const FigureGrid& grid) {
  const double share = std::floor(most_pixels / static_cast<double>(std::max(grid.rows, grid.columns)));
  return std::clamp(share, 1.0, largest_cell);
}

}  // namespace

Picture picture_of(const FigureGrid& grid) {
  VITRINE_CHECK(grid.values.size() == grid.rows * grid.columns && grid.rows > 0 && grid.columns > 0);
  VITRINE_CHECK(grid.row_labels.empty() || grid.row_labels.size() == grid.rows);
  VITRINE_CHECK(grid.column_labels.empty() || grid.column_labels.size() == grid.columns);
  const double cell = cell_of(grid);
  const Labels beside = row_labels(grid, cell), below = column_labels(grid, cell);
  const Frame frame = frame_of(grid, beside, below, cell);
  const ColorScale scale{grid.colors, grid.spread, grid.low, grid.high};
  Picture picture{text_svg({.x = 0.0, .y = 14.0, .size = 14.0}, grid.title) + "\n", text_width(grid.title, 14.0), frame.top + frame.height + 4};
  picture.svg += grid.values.size() <= most_rectangles ? rectangles(grid, scale, frame) : image(grid, scale, frame);
  picture.svg += labels_svg(grid, frame, beside, below);
  if (!below.places.empty()) picture.height += below.turned ? below.width + 8.0 : line_height;
  if (!grid.column_axis.empty()) {
    picture.svg += text_svg({.x = frame.left + frame.width / 2, .y = picture.height + 13, .anchor = "middle", .fill = quiet_ink}, grid.column_axis);
    picture.height += line_height + 2;
  }
  const Picture bar = upright_bar(scale, grid.values, grid.unit, std::clamp(frame.height - 28.0, 90.0, 300.0));
  const double right = frame.left + frame.width + 24.0;
  picture.svg += format("<g transform=\"translate(%.1f,%.1f)\">", right, frame.top) + bar.svg + "</g>\n";
  return {picture.svg, std::max(picture.width, right + bar.width), std::max(picture.height, frame.top + bar.height)};
}

}  // namespace vitrine
