#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vitrine {

/// How numbers become colours.
struct ColorScale {
  float low = 0.0f, high = 1.0f;
  bool square_root = true;  ///< attention is spiky: the root keeps small weights visible
};

/// Red, green, blue of viridis (van der Walt & Smith 2015) at `position` in [0, 1].
std::array<float, 3> viridis(float position);

/// A grid of numbers on the GPU, drawn as one quad whose shader does the colours. NaN is drawn as "not attended".
/// Lives and dies while an OpenGL context is current.
class HeatMap {
 public:
  HeatMap() = default;
  ~HeatMap();
  HeatMap(const HeatMap&) = delete;
  HeatMap& operator=(const HeatMap&) = delete;

  /// @param values  [rows, cols]
  void upload(std::span<const float> values, std::size_t rows, std::size_t cols);
  bool empty() const { return rows_ == 0; }

  struct Corner {
    float x = 0.0f, y = 0.0f;
  };
  /// Puts the grid into the rectangle of the current ImGui window's draw list, in screen coordinates.
  void draw(Corner top_left, Corner bottom_right, const ColorScale& scale) const;

 private:
  std::uint32_t texture_ = 0;
  std::size_t rows_ = 0, cols_ = 0;
};

/// The map alone, in a window of ImGui that covers everything: for pictures and tests.
void draw_in_whole_window(const HeatMap& map, HeatMap::Corner top_left, HeatMap::Corner bottom_right);

}  // namespace vitrine
