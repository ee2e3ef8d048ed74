#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "probes/figures/figure.h"
#include "viewer/draw/color_strip.h"
#include "viewer/draw/heat_map.h"

namespace vitrine {

/// Numbers over two named axes as coloured cells, with what each cell holds written into it where there is room. Scrolls where there is
/// none; the labels stay in sight.
class GridView {
 public:
  /// @param texts  of cells, [rows * columns], instead of their numbers; or empty
  void set(FigureGrid grid, std::vector<std::string> texts = {});
  const FigureGrid& grid() const { return grid_; }
  FigureGrid& grid() { return grid_; }
  bool empty() const { return grid_.values.empty(); }

  using Cell = std::pair<std::size_t, std::size_t>;  ///< row, column
  struct Answer {
    std::optional<Cell> hovered, clicked;
  };
  /// Takes `size` of the current window from the cursor on: title, colours, cells. A tooltip names the cell under the pointer.
  /// @param name   of the cells in the registry of items, "name/row.column" for each cell that is large enough to be hit
  Answer draw(std::string_view name, Corner size, const std::optional<Cell>& marked);

 private:
  struct Layout {
    float left = 0.0f, top = 0.0f;      // room of the labels
    float width = 0.0f, height = 0.0f;  // of a cell
    bool upward = false;                // labels of columns
  };
  Layout layout_for(Corner room);
  void draw_cells(std::string_view name, const Layout& layout, Corner origin, const std::optional<Cell>& marked);
  void draw_labels(const Layout& layout, Corner origin) const;
  void tooltip(const Cell& cell) const;
  std::string text_of(std::size_t cell) const;
  ValueColors colors() const { return {grid_.colors, grid_.spread, grid_.low, grid_.high}; }

  FigureGrid grid_;
  std::vector<std::string> texts_;
  std::vector<std::string> row_labels_, column_labels_;  // as they can be drawn
  HeatMap map_;
  bool prepared_ = false;
};

}  // namespace vitrine
