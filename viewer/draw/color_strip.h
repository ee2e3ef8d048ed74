#pragma once

#include <string>

#include "viewer/draw/heat_map.h"

namespace vitrine {

/// A scale of colours for values of any sign, and how a number stands on it.
struct ValueColors {
  ColorMap colors = ColorMap::viridis;
  ColorSpread spread = ColorSpread::linear;
  double low = 0.0, high = 1.0;
  Color at(double value) const { return color_at(colors, spread_position(spread, value, low, high)); }
};

/// The colours from left to right with their numbers below and the unit behind, as an item of the current line.
/// @param width  of the strip, in pixels
void draw_color_strip(float width, const ValueColors& colors, const std::string& unit);

/// "0.123", "-4.5", "1.2e-05": four digits that count.
std::string short_number(double value);

}  // namespace vitrine
