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

constexpr double largest_cell = 26.0, largest_cell_of_blocks = 12.0, most_pixels = 720.0, most_pixels_of_blocks = 1400.0;
constexpr std::size_t most_rectangles = 2500, longest_label = 40;

bool is_number(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789.-+") == std::string::npos; }

/// One axis of a grid in pixels. Cells stand in blocks (of one cell, where there are none), which are set apart by as much as a cell.
struct Axis {
  std::size_t cells = 0, block = 1;
  double cell = 1.0;

  std::size_t blocks() const { return cells / block; }
  std::size_t gaps() const { return block > 1 ? blocks() - 1 : 0; }
  double length() const { return cell * static_cast<double>(cells + gaps()); }
  /// Between the beginnings of two blocks: labels stand this far apart.
  double pitch() const { return cell * static_cast<double>(block > 1 ? block + 1 : 1); }
  double middle(std::size_t place) const { return pitch() * static_cast<double>(place) + cell * static_cast<double>(block) / 2; }
};

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

/// Numbers stay upright and are thinned; words are turned where they would meet.
Labels column_labels(const std::vector<std::string>& labels, double pitch) {
  const double upright = widest(labels, 1) + 8.0;
  if (std::ranges::all_of(labels, is_number) || upright <= pitch) return every(labels, label_step(pitch, upright), false);
  return every(labels, label_step(pitch, 13.0), true);
}

/// Where everything stands.
struct Frame {
  double left = 0.0, top = 0.0;
  Axis rows{}, columns{};
  Labels beside{}, below{};
};

/// Whether the rows' axis has room for its name beside it; else the name stands above.
bool axis_is_turned(const FigureGrid& grid, const Axis& rows) {
  return !grid.row_axis.empty() && text_width(grid.row_axis, font_size) <= rows.length() + 8.0;
}

Frame frame_of(const FigureGrid& grid) {
  Frame frame{.rows = {grid.rows, grid.block_rows}, .columns = {grid.columns, grid.block_columns}};
  const bool blocks = grid.block_rows > 1 || grid.block_columns > 1;
  const double longest = std::max(frame.rows.length(), frame.columns.length());
  // Whole pixels, so that every cell has the same size.
  frame.rows.cell = frame.columns.cell =
      std::clamp(std::floor((blocks ? most_pixels_of_blocks : most_pixels) / longest), 1.0, blocks ? largest_cell_of_blocks : largest_cell);
  frame.beside = every(grid.row_labels, label_step(frame.rows.pitch(), 13.0), false);
  frame.below = column_labels(grid.column_labels, frame.columns.pitch());
  const bool turned = axis_is_turned(grid, frame.rows), above = !grid.row_axis.empty() && !turned;
  frame.left = (turned ? 20.0 : 0.0) + (frame.beside.places.empty() ? 0.0 : frame.beside.width + 8.0);
  if (!frame.below.turned) frame.left = std::max(frame.left, (frame.below.width - frame.columns.pitch()) / 2);
  frame.top = (grid.title.empty() ? 6.0 : 26.0) + (above ? line_height : 0.0);
  return frame;
}

std::string name_at(const std::string& axis, const std::vector<std::string>& labels, std::size_t place) {
  const std::string label = labels.empty() ? std::to_string(place) : labels[place];
  return axis.empty() ? label : axis + " " + label;
}

std::string rectangle_svg(double x, double y, double width, double height, const std::string& fill) {
  return format("<rect x=\"%.6g\" y=\"%.6g\" width=\"%.4g\" height=\"%.4g\" ", x, y, width, height) + fill + "><title>";
}

std::string rectangles(const FigureGrid& grid, const ColorScale& scale, const Frame& frame) {
  const double cell = frame.rows.cell;
  std::string svg = "<g shape-rendering=\"crispEdges\">\n" +
                    format("<rect x=\"%.6g\" y=\"%.6g\" width=\"%.6g\" height=\"%.6g\" fill=\"%s\"/>\n", frame.left, frame.top,
                           frame.columns.length(), frame.rows.length(), hex_of(undefined_color(grid.colors)).c_str());
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const std::size_t row = i / grid.columns, column = i % grid.columns;
    const double value = grid.values[i];
    if (std::isnan(value)) continue;  // the ground shows
    const double x = frame.left + cell * static_cast<double>(column), y = frame.top + cell * static_cast<double>(row);
    svg += rectangle_svg(x, y, cell, cell, "fill=\"" + hex_of(scale.color(value)) + "\"");
    svg += escaped(name_at(grid.row_axis, grid.row_labels, row) + ", " + name_at(grid.column_axis, grid.column_labels, column) + ": " +
                   format("%.4g", value) + (grid.unit.empty() ? "" : " " + grid.unit));
    svg += "</title></rect>\n";
  }
  return svg + "</g>\n";
}

std::string image(const FigureGrid& grid, const ColorScale& scale, const Frame& frame) {
  const std::size_t rows = grid.rows + frame.rows.gaps(), columns = grid.columns + frame.columns.gaps();
  const auto with_gaps = [](const Axis& axis, std::size_t place) { return axis.block > 1 ? place + place / axis.block : place; };
  std::vector<std::uint8_t> places(rows * columns, paper_place);
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const double value = grid.values[i];
    places[with_gaps(frame.rows, i / grid.columns) * columns + with_gaps(frame.columns, i % grid.columns)] =
        std::isnan(value) ? undefined_place : static_cast<std::uint8_t>(std::lround(scale.position(value) * palette_steps));
  }
  return image_svg({frame.left, frame.top, frame.columns.length(), frame.rows.length(), "pixelated"}, places, columns, grid.colors);
}

/// What is pointed at in a picture of blocks.
std::string block_names(const FigureGrid& grid, const Frame& frame) {
  std::string svg = "<g fill=\"none\" pointer-events=\"all\">\n";
  for (std::size_t r = 0; r < frame.rows.blocks(); ++r) {
    for (std::size_t c = 0; c < frame.columns.blocks(); ++c) {
      svg += rectangle_svg(frame.left + frame.columns.pitch() * static_cast<double>(c),
                           frame.top + frame.rows.pitch() * static_cast<double>(r), frame.columns.pitch(), frame.rows.pitch(), "") +
             escaped(name_at(grid.row_axis, grid.row_labels, r) + ", " + name_at(grid.column_axis, grid.column_labels, c)) +
             "</title></rect>\n";
    }
  }
  return svg + "</g>\n";
}

std::string labels_svg(const FigureGrid& grid, const Frame& frame) {
  std::string svg;
  for (const std::size_t place : frame.beside.places) {
    svg += text_svg({.x = frame.left - 6, .y = frame.top + frame.rows.middle(place) + 4, .anchor = "end"},
                    shortened(grid.row_labels[place], longest_label)) +
           "\n";
  }
  const double bottom = frame.top + frame.rows.length();
  for (const std::size_t place : frame.below.places) {
    const double x = frame.left + frame.columns.middle(place);
    const TextAt upright{.x = x, .y = bottom + 15, .anchor = "middle"}, turned{.x = x + 4, .y = bottom + 6, .anchor = "end", .turn = -90.0};
    svg += text_svg(frame.below.turned ? turned : upright, shortened(grid.column_labels[place], longest_label)) + "\n";
  }
  if (grid.row_axis.empty()) return svg;
  const TextAt turned{.x = 11.0, .y = frame.top + frame.rows.length() / 2, .anchor = "middle", .fill = quiet_ink, .turn = -90.0},
      above{.x = 0.0, .y = frame.top - 5, .fill = quiet_ink};
  return svg + (axis_is_turned(grid, frame.rows) ? text_svg(turned, grid.row_axis) : text_svg(above, grid.row_axis + " \u2193"));
}

void check(const FigureGrid& grid) {
  VITRINE_CHECK(grid.values.size() == grid.rows * grid.columns && grid.rows > 0 && grid.columns > 0 && grid.block_rows > 0 &&
                grid.block_columns > 0);
  VITRINE_CHECK(grid.rows % grid.block_rows == 0 && grid.columns % grid.block_columns == 0);
  VITRINE_CHECK(grid.row_labels.empty() || grid.row_labels.size() == grid.rows / grid.block_rows);
  VITRINE_CHECK(grid.column_labels.empty() || grid.column_labels.size() == grid.columns / grid.block_columns);
}

}  // namespace

Picture picture_of(const FigureGrid& grid) {
  check(grid);
  const Frame frame = frame_of(grid);
  const ColorScale scale{grid.colors, grid.spread, grid.low, grid.high};
  const bool blocks = grid.block_rows > 1 || grid.block_columns > 1;
  Picture picture{text_svg({.x = 0.0, .y = 14.0, .size = 14.0}, grid.title) + "\n", text_width(grid.title, 14.0),
                  frame.top + frame.rows.length() + 4};
  picture.svg += !blocks && grid.values.size() <= most_rectangles ? rectangles(grid, scale, frame) : image(grid, scale, frame);
  if (blocks) picture.svg += block_names(grid, frame);
  picture.svg += labels_svg(grid, frame);
  if (!frame.below.places.empty()) picture.height += frame.below.turned ? frame.below.width + 8.0 : line_height;
  if (!grid.column_axis.empty()) {
    picture.svg += text_svg({.x = frame.left + frame.columns.length() / 2, .y = picture.height + 13, .anchor = "middle", .fill = quiet_ink},
                            grid.column_axis);
    picture.height += line_height + 2;
  }
  const Picture bar = upright_bar(scale, grid.values, grid.unit, std::clamp(frame.rows.length() - 28.0, 90.0, 300.0));
  const double right = frame.left + frame.columns.length() + 24.0;
  picture.svg += format("<g transform=\"translate(%.1f,%.1f)\">", right, frame.top) + bar.svg + "</g>\n";
  return {picture.svg, std::max(picture.width, right + bar.width), std::max(picture.height, frame.top + bar.height)};
}

}  // namespace vitrine
