#pragma once

#include <optional>
#include <string>
#include <vector>

#include "viewer/data/head_list.h"
#include "viewer/data/tiles.h"
#include "viewer/draw/heat_map.h"

namespace vitrine {

/// All heads as thumbnails of one texture: in rows of layers, or one behind the other where they are sorted or filtered.
class HeadGrid {
 public:
  static constexpr float largest_thumbnail = 96.0f;
  /// The level whose tile has at most as many cells as a thumbnail; such a map is one tile.
  static unsigned level_for(std::size_t queries, std::size_t keys);

  /// Forgets every thumbnail.
  void reset(const HeadList& heads);
  bool has(std::size_t place) const { return done_[place]; }
  bool complete() const { return painted_ == done_.size(); }
  /// A map in any number of cells, thinned or stretched over the thumbnail; an empty tile leaves it masked.
  void put(const HeadList& heads, std::size_t place, const Tile& tile);

  struct Order {
    std::string sort = "layer", filter;  ///< see HeadList::order and matches
    std::size_t module = 0, head = 0;    ///< chosen
    float size = 0.0f;                   ///< of a thumbnail in pixels; 0: as large as there is room
    ColorScale scale;
  };
  /// Fills the current window from the cursor on. Returns the place that was clicked.
  std::optional<std::size_t> draw(const HeadList& heads, const Order& order) const;

 private:
  struct Layout;
  Layout lay_out(const HeadList& heads, const Order& order) const;
  HeatMap::Placed draw_cell(const HeadList& heads, const Order& order, std::size_t place, const Layout& layout, std::size_t at) const;

  HeatMap atlas_;
  std::vector<bool> done_;
  std::size_t painted_ = 0;
};

/// What the colours below the thumbnails stand for, in one line.
void draw_role_legend();

}  // namespace vitrine
