#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "viewer/draw/heat_map.h"
#include "viewer/draw/items.h"
#include "viewer/draw/tile_painter.h"

namespace vitrine {

/// A map with axes of tokens: zoom and pan by wheel, drag and keys, labels as far as they have room, marks on the chosen tokens.
class MapCanvas {
 public:
  struct Axes {
    const std::vector<std::string>* queries = nullptr;  ///< labels; their number is the axis' length
    const std::vector<std::string>* keys = nullptr;
  };
  /// What the pointer is on, and what was clicked.
  struct Answer {
    Rectangle area;  ///< where the map lies
    std::optional<std::pair<std::size_t, std::size_t>> hovered, clicked;  ///< query, key
  };
  struct Marks {
    std::optional<std::size_t> query, key;
  };

  /// Takes `size` of the current window from the cursor on.
  /// @param name   of the area in the registry of items
  /// @param paint  draws the map into the rectangle
  Answer draw(std::string_view name, Corner size, const Axes& axes, const Marks& marks, const std::function<void(const Rectangle& area)>& paint);

  const Porthole& porthole() const { return porthole_; }
  void set_porthole(const Porthole& porthole) { porthole_ = porthole; fitted_ = false; }
  /// The whole map, as large as there is room; stays so when the room changes.
  void fit() { fitted_ = true; }
  bool fitted() const { return fitted_; }
  void zoom(double factor);
  void pan(double tokens_right, double tokens_down);
  /// Moves as little as brings a token into sight.
  void show_query(std::size_t query);

  Json state() const;
  void restore(const Json& json);

 private:
  void place(const Rectangle& area, std::size_t queries, std::size_t keys);
  void navigate(const Rectangle& area);
  void draw_labels(const Rectangle& area, const Axes& axes, const Marks& marks, Corner origin) const;
  void draw_marks(const Rectangle& area, const Marks& marks) const;

  Porthole porthole_;
  Corner last_size_;
  bool fitted_ = true;
};

/// The colours from low to high with their numbers, upright.
/// @param caption  what the numbers are, in lines
void draw_color_bar(Corner from, float height, const ColorScale& scale, const std::vector<std::string>& caption);
/// Pixels that the bar takes on the x axis.
float color_bar_width();

/// As ImGui::SameLine, where so many pixels are left on the line; else the next item begins a line.
void same_line_where_room(float width);

/// Combos and fields for a scale of weights, in as many lines as the width takes. Returns whether something changed.
bool edit_color_scale(ColorScale& scale);

}  // namespace vitrine
