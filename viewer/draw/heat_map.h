#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "probes/figures/figure.h"

namespace vitrine {

/// Which of a cell's two numbers is shown.
enum class Reduction { largest, mean };

/// How numbers become colours.
struct ColorScale {
  float low = 0.0f, high = 1.0f;
  ColorSpread spread = ColorSpread::square_root;  ///< attention is spiky: the root keeps small weights visible
  ColorMap colors = ColorMap::viridis;
  Reduction reduction = Reduction::largest;
};

/// A place on the screen.
struct Corner {
  float x = 0.0f, y = 0.0f;
};

/// A grid of numbers on the GPU, drawn as one quad whose shader does the colours. NaN is hatched (masked), infinity is magenta (not a
/// number), what lies outside of the scale is white (above) or black (below). A pixel that covers several cells shows the largest of
/// them, or their mean. Lives and dies while an OpenGL context is current.
class HeatMap {
 public:
  HeatMap() = default;
  ~HeatMap();
  HeatMap(const HeatMap&) = delete;
  HeatMap& operator=(const HeatMap&) = delete;

  /// @param largest, mean  [rows, columns] each
  void upload(std::span<const float> largest, std::span<const float> mean, std::size_t rows, std::size_t columns);
  void upload(std::span<const float> values, std::size_t rows, std::size_t columns) { upload(values, values, rows, columns); }
  /// A part of what was uploaded. `largest` and `mean` are packed.
  void replace(std::span<const float> largest, std::span<const float> mean, std::size_t row, std::size_t column, std::size_t rows, std::size_t columns);
  bool empty() const { return rows_ == 0; }
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t bytes() const { return rows_ * columns_ * 2 * sizeof(float); }

  /// Cells of the grid, in cells from its corner.
  struct Part {
    float row = 0.0f, column = 0.0f, rows = 0.0f, columns = 0.0f;
  };
  /// Puts the grid, or a part of it, into the rectangle of the current ImGui window's draw list, in screen coordinates.
  void draw(Corner top_left, Corner bottom_right, const ColorScale& scale) const;
  void draw_part(const Part& part, Corner top_left, Corner bottom_right, const ColorScale& scale) const;
  /// Many parts at once.
  struct Placed {
    Part part;
    Corner top_left, bottom_right;
  };
  void draw_parts(std::span<const Placed> parts, const ColorScale& scale) const;

 private:
  std::uint32_t texture_ = 0;
  std::size_t rows_ = 0, columns_ = 0;
};

/// Called where an OpenGL context goes, whose programs go with it.
void forget_heat_map_programs();

/// The map alone, in a window of ImGui that covers everything: for pictures and tests.
void draw_in_whole_window(const HeatMap& map, Corner top_left, Corner bottom_right, const ColorScale& scale);

}  // namespace vitrine
