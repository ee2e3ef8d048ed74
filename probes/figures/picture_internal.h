#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "probes/figures/figure.h"

// Parts of an SVG picture, each drawn from (0, 0).

namespace vitrine {

constexpr double font_size = 12.0;
constexpr double line_height = 17.0;
constexpr std::string_view ink = "#111827", quiet_ink = "#6b7280";

struct Picture {
  std::string svg;
  double width = 0.0, height = 0.0;
};

Picture picture_of(const FigureGrid& grid);
Picture picture_of(const FigureText& text);
Picture picture_of(const FigurePoints& points);
Picture picture_of(const FigureEstimates& estimates);
Picture picture_of(const FigureTable& table);

/// "#440154"
std::string hex_of(const Color& color);

struct TextAt {
  double x = 0.0, y = 0.0;  ///< of the base line
  std::string_view anchor = "start", fill = ink;
  double size = font_size;
  double turn = 0.0;  ///< degrees
};
std::string text_svg(const TextAt& at, std::string_view text);

/// A number as a place on a colour map; what a bar explains.
struct ColorScale {
  ColorMap colors = ColorMap::viridis;
  ColorSpread spread = ColorSpread::linear;
  double low = 0.0, high = 1.0;

  double position(double value) const { return spread_position(spread, value, low, high); }
  /// Of any number, NaN too.
  Color color(double value) const;
};
/// The bar of a scale, with what `values` make necessary: signs that numbers lie beyond its ends, the colour of NaN.
Picture upright_bar(const ColorScale& scale, const std::vector<double>& values, std::string_view unit, double length);
Picture lying_bar(const ColorScale& scale, const std::vector<double>& values, std::string_view unit);

/// "data:image/png;base64,..." as an element. @param places  [rows, columns] of a palette
struct EmbeddedImage {
  double x = 0.0, y = 0.0, width = 0.0, height = 0.0;
  std::string_view rendering = "pixelated";  ///< "auto": smoothed
};
std::string image_svg(const EmbeddedImage& at, const std::vector<std::uint8_t>& places, std::size_t columns, ColorMap colors);
/// Places of the palette of every map: its colours, white between blocks, NaN.
constexpr double palette_steps = 253.0;
constexpr std::uint8_t paper_place = 254, undefined_place = 255;

}  // namespace vitrine
