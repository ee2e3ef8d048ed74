#include "experiments/grid_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <numeric>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

constexpr std::size_t most_text_columns = 40;

}  // namespace

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
    write_in_one_step(path, [&](std::ostream& file) { file << figure_svg({.grids = {figure_of(grids[i])}}); });
  }
}

}  // namespace vitrine
