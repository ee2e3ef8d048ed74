#include "experiments/grid_svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <numeric>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "experiments/report_text.h"

namespace vitrine {
namespace {

constexpr double cell = 26.0, left = 150.0, top = 64.0;
constexpr std::size_t most_text_columns = 40;

double largest(const AnalysisGrid& grid) {
  double most = 0.0;
  for (const double value : grid.values) most = std::isfinite(value) ? std::max(most, std::abs(value)) : most;
  return most > 0.0 ? most : 1.0;
}

/// From blue over white to red; `share` from -1 to 1.
std::string color(double share) {
  const double depth = std::abs(share);
  const auto mix = [&](double end) { return static_cast<int>(std::lround(255.0 + (end - 255.0) * depth)); };
  return share >= 0.0 ? format("#%02x%02x%02x", mix(178), mix(24), mix(43)) : format("#%02x%02x%02x", mix(33), mix(102), mix(172));
}

std::string cells_svg(const AnalysisGrid& grid, double most) {
  std::string svg;
  const std::size_t columns = grid.column_labels.size();
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const double value = grid.values[i], x = left + cell * static_cast<double>(i % columns), y = top + cell * static_cast<double>(i / columns);
    const std::string fill = std::isfinite(value) ? color(value / most) : "url(#none)";
    svg += format("<rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" fill=\"%s\"><title>", x, y, cell, cell, fill.c_str());
    svg += escaped(grid.row_axis + " " + grid.row_labels[i / columns] + ", " + grid.column_axis + " " + grid.column_labels[i % columns] + ": " +
                   (std::isfinite(value) ? format("%.6g", value) + " " + grid.unit : "undefined"));
    svg += "</title></rect>\n";
  }
  return svg;
}

std::string labels_svg(const AnalysisGrid& grid) {
  std::string svg;
  for (std::size_t r = 0; r < grid.row_labels.size(); ++r) {
    svg += format("<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", left - 6, top + cell * (static_cast<double>(r) + 0.5) + 4) + escaped(shortened(grid.row_labels[r])) + "</text>\n";
  }
  const double bottom = top + cell * static_cast<double>(grid.row_labels.size());
  for (std::size_t c = 0; c < grid.column_labels.size(); ++c) {
    const double x = left + cell * (static_cast<double>(c) + 0.5) + 4;
    svg += format("<text transform=\"translate(%.1f,%.1f) rotate(-90)\" text-anchor=\"end\">", x, bottom + 6) + escaped(shortened(grid.column_labels[c])) + "</text>\n";
  }
  return svg;
}

std::string scale_svg(const AnalysisGrid& grid, double most, double x) {
  const bool signed_values = std::ranges::any_of(grid.values, [](double value) { return value < 0.0; });
  std::string svg;
  constexpr int steps = 24;
  const double height = std::max(cell * static_cast<double>(grid.row_labels.size()), 96.0), step = height / steps;
  for (int s = 0; s < steps; ++s) {
    const double share = signed_values ? 1.0 - 2.0 * s / (steps - 1) : 1.0 - static_cast<double>(s) / (steps - 1);
    svg += format("<rect x=\"%.0f\" y=\"%.1f\" width=\"14\" height=\"%.1f\" fill=\"%s\"/>", x, top + s * step, step + 0.5, color(share).c_str());
  }
  svg += format("<text x=\"%.0f\" y=\"%.1f\">%.3g %s</text>", x + 20, top + 10, most, escaped(grid.unit).c_str());
  svg += format("<text x=\"%.0f\" y=\"%.1f\">%.3g</text>\n", x + 20, top + height, signed_values ? -most : 0.0);
  return svg;
}

}  // namespace

std::string grid_svg(const AnalysisGrid& grid) {
  const double most = largest(grid), right = left + cell * static_cast<double>(grid.column_labels.size());
  std::size_t longest = 1;
  for (const std::string& label : grid.column_labels) longest = std::max(longest, shortened(label).size());
  const double width = std::max(right + 150.0, 24.0 + 8.0 * static_cast<double>(grid.title.size()));
  const double height = top + std::max(cell * static_cast<double>(grid.row_labels.size()), 96.0) + 40.0 + 7.5 * static_cast<double>(longest);
  std::string svg = format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height);
  svg += "<defs><pattern id=\"none\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path d=\"M0 6L6 0\" stroke=\"#9ca3af\"/></pattern></defs>\n";
  svg += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  svg += "<text x=\"16\" y=\"24\" font-size=\"15\">" + escaped(grid.title) + "</text>\n";
  svg += format("<text x=\"%.0f\" y=\"%.0f\" fill=\"#6b7280\">", left, top - 10) + escaped("rows: " + grid.row_axis + ", columns: " + grid.column_axis) + "</text>\n";
  return svg + cells_svg(grid, most) + labels_svg(grid) + scale_svg(grid, most, right + 16) + "</svg>\n";
}

std::string grid_text(const AnalysisGrid& grid) {
  const std::size_t columns = grid.column_labels.size();
  std::string text = grid.title + " [" + grid.unit + "], rows: " + grid.row_axis + ", columns: " + grid.column_axis + "\n";
  if (columns <= most_text_columns) {
    std::size_t width = 7;
    for (const std::string& label : grid.row_labels) width = std::max(width, shortened(label).size());
    text += std::string(width, ' ');
    for (const std::string& label : grid.column_labels) text += format(" %8.8s", label.c_str());
    for (std::size_t i = 0; i < grid.values.size(); ++i) {
      if (i % columns == 0) text += "\n" + std::string(width - std::min(width, shortened(grid.row_labels[i / columns]).size()), ' ') + shortened(grid.row_labels[i / columns]);
      text += std::isfinite(grid.values[i]) ? format(" %8.4f", grid.values[i]) : "        -";
    }
    return text + "\n";
  }
  std::vector<std::size_t> order(grid.values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t i) { return !std::isfinite(grid.values[i]); });
  const std::size_t shown = std::min<std::size_t>(order.size(), 12);
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(shown), std::ranges::greater{}, [&](std::size_t i) { return std::abs(grid.values[i]); });
  for (std::size_t n = 0; n < shown; ++n) {
    const std::size_t i = order[n];
    text += format("  %s %s, %s %s: %.4f\n", grid.row_axis.c_str(), grid.row_labels[i / columns].c_str(), grid.column_axis.c_str(),
                   grid.column_labels[i % columns].c_str(), grid.values[i]);
  }
  return text + format("  (the %zu largest of %zu cells; all with --json or --svg)\n", shown, grid.values.size());
}

void write_grids(std::span<const AnalysisGrid> grids, const std::filesystem::path& folder, std::string_view prefix) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  for (std::size_t i = 0; i < grids.size(); ++i) {
    const std::filesystem::path path = folder / (std::string(prefix) + "-" + std::to_string(i + 1) + ".svg");
    write_in_one_step(path, [&](std::ostream& file) { file << grid_svg(grids[i]); });
  }
}

}  // namespace vitrine
