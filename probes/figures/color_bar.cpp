#include <algorithm>
#include <cmath>

#include "core/base/base64.h"
#include "probes/figures/axis_internal.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"
#include "probes/figures/png.h"

namespace vitrine {
namespace {

constexpr double thickness = 14.0;

struct Beyond {
  bool below = false, above = false, undefined = false;
};

Beyond beyond(const ColorScale& scale, const std::vector<double>& values) {
  Beyond result;
  const double rounding = (scale.high - scale.low) * 0x1p-7;  // a weight that was rounded to bfloat16 may be 1.004
  for (const double value : values) {
    result.undefined |= std::isnan(value);
    result.below |= value < scale.low - rounding;
    result.above |= value > scale.high + rounding;
  }
  return result;
}

std::string tick_text(const BarTick& tick, const ColorScale& scale, const Beyond& outside) {
  const char* sign = tick.value == scale.low && outside.below ? "\u2264 " : tick.value == scale.high && outside.above ? "\u2265 " : "";
  const bool whole = std::abs(tick.value) >= 1000.0 && std::abs(tick.value) < 1e6;  // never 3.81e+03
  return sign + format(whole ? "%.0f" : "%.3g", tick.value);
}

std::string swatch_svg(const ColorScale& scale, double x, double y) {
  return format("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\" fill=\"%s\" stroke=\"#9ca3af\" stroke-width=\"0.5\"/>", x, y,
                thickness, thickness, hex_of(undefined_color(scale.colors)).c_str()) +
         text_svg({.x = x + thickness + 6, .y = y + 11}, "masked or undefined");
}

std::vector<std::uint8_t> ramp(bool falling) {
  std::vector<std::uint8_t> places;
  for (int i = 0; i <= static_cast<int>(palette_steps); ++i)
    places.push_back(static_cast<std::uint8_t>(falling ? static_cast<int>(palette_steps) - i : i));
  return places;
}

}  // namespace

Color ColorScale::color(double value) const { return std::isnan(value) ? undefined_color(colors) : color_at(colors, position(value)); }

std::string hex_of(const Color& color) {
  const auto byte = [](float part) { return static_cast<int>(std::lround(part * 255.0f)); };
  return format("#%02x%02x%02x", byte(color.red), byte(color.green), byte(color.blue));
}

std::string text_svg(const TextAt& at, std::string_view text) {
  std::string svg = at.turn == 0.0 ? format("<text x=\"%.1f\" y=\"%.1f\"", at.x, at.y)
                                   : format("<text transform=\"translate(%.1f,%.1f) rotate(%.0f)\"", at.x, at.y, at.turn);
  if (at.anchor != "start") svg += " text-anchor=\"" + std::string(at.anchor) + "\"";
  if (at.fill != ink) svg += " fill=\"" + std::string(at.fill) + "\"";
  if (at.size != font_size) svg += format(" font-size=\"%.0f\"", at.size);
  return svg + ">" + escaped(text) + "</text>";
}

std::string image_svg(const EmbeddedImage& at, const std::vector<std::uint8_t>& places, std::size_t columns, ColorMap colors) {
  std::vector<std::uint8_t> palette;
  for (int i = 0; i < 256; ++i) {
    const Color color = i == undefined_place ? undefined_color(colors)
                        : i == paper_place   ? Color{1.0f, 1.0f, 1.0f}
                                             : color_at(colors, i / palette_steps);
    for (const float part : {color.red, color.green, color.blue}) palette.push_back(static_cast<std::uint8_t>(std::lround(part * 255.0f)));
  }
  return format(
             "<image x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" preserveAspectRatio=\"none\" image-rendering=\"%s\" "
             "xlink:href=\"data:image/png;base64,",
             at.x, at.y, at.width, at.height, std::string(at.rendering).c_str()) +
         base64_of(png_of_palette(places, columns, palette)) + "\"/>\n";
}

Picture upright_bar(const ColorScale& scale, const std::vector<double>& values, std::string_view unit, double length) {
  const Beyond outside = beyond(scale, values);
  Picture bar{text_svg({.x = 0.0, .y = 11.0, .fill = quiet_ink}, unit), text_width(unit, font_size), 20.0 + length};
  bar.svg += image_svg({0.0, 20.0, thickness, length, "auto"}, ramp(true), 1, scale.colors);
  for (const BarTick& tick : bar_ticks(scale.spread, scale.low, scale.high, line_height / length)) {
    const double y = 20.0 + length * (1.0 - tick.position);
    const std::string label = tick_text(tick, scale, outside);
    bar.svg += format("<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#6b7280\"/>", thickness, thickness + 4, y, y) +
               text_svg({.x = thickness + 7, .y = y + 4}, label);
    bar.width = std::max(bar.width, thickness + 7 + text_width(label, font_size));
  }
  bar.height += 8.0;
  if (!outside.undefined) return bar;
  bar.svg += swatch_svg(scale, 0.0, bar.height + 4);
  return {bar.svg, std::max(bar.width, thickness + 6 + text_width("masked or undefined", font_size)), bar.height + 22.0};
}

Picture lying_bar(const ColorScale& scale, const std::vector<double>& values, std::string_view unit) {
  constexpr double length = 260.0;
  const Beyond outside = beyond(scale, values);
  Picture bar{image_svg({0.0, 2.0, length, thickness, "auto"}, ramp(false), static_cast<std::size_t>(palette_steps) + 1, scale.colors),
              length, 38.0};
  for (const BarTick& tick : bar_ticks(scale.spread, scale.low, scale.high, 48.0 / length)) {
    const char* anchor = tick.position == 0.0 ? "start" : tick.position == 1.0 ? "end" : "middle";
    bar.svg += text_svg({.x = length * tick.position, .y = 32.0, .anchor = anchor}, tick_text(tick, scale, outside));
  }
  bar.svg += text_svg({.x = length + 12, .y = 13.0, .fill = quiet_ink}, unit);
  bar.width = length + 12 + text_width(unit, font_size);
  if (!outside.undefined) return bar;
  bar.svg += swatch_svg(scale, bar.width + 16, 2.0);
  return {bar.svg, bar.width + 16 + thickness + 6 + text_width("masked or undefined", font_size), bar.height};
}

}  // namespace vitrine
