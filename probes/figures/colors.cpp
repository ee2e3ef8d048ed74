#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "probes/figures/color_tables_internal.h"
#include "probes/figures/figure.h"

namespace vitrine {
namespace {

struct NamedMap {
  ColorMap map;
  std::string_view name;
};
constexpr std::array named_maps{NamedMap{ColorMap::viridis, "viridis"}, NamedMap{ColorMap::cividis, "cividis"},
                                NamedMap{ColorMap::greys, "greys"}, NamedMap{ColorMap::diverging, "diverging"}};

float digits_at(std::string_view table, std::size_t place) {
  const auto digit = [&](std::size_t i) { return table[i] <= '9' ? table[i] - '0' : table[i] - 'a' + 10; };
  return static_cast<float>(digit(place) * 16 + digit(place + 1)) / 255.0f;
}

Color of_table(std::string_view table, double position) {
  const auto entry = static_cast<std::size_t>(std::lround(position * 255.0)) * 6;
  return {digits_at(table, entry), digits_at(table, entry + 2), digits_at(table, entry + 4)};
}

float encoded(double linear) {  // of sRGB, IEC 61966-2-1
  const double inside = std::clamp(linear, 0.0, 1.0);
  return static_cast<float>(inside <= 0.0031308 ? 12.92 * inside : 1.055 * std::pow(inside, 1.0 / 2.4) - 0.055);
}

double decoded(double value) { return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4); }

/// Of Oklab (B. Ottosson 2020): lightness, and a colour's direction and strength.
Color of_oklab(double lightness, double chroma, double hue) {
  const double a = chroma * std::cos(hue), b = chroma * std::sin(hue);
  const auto cube = [](double x) { return x * x * x; };
  const double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b), m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b),
               s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);
  return {encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s), encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          encoded(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

/// Both sides have the same lightness at the same distance from the middle, so that neither looks larger. Blue and orange stay apart for
/// every kind of colour vision.
Color diverging_at(double position) {
  const double reach = std::abs(2.0 * position - 1.0), degree = std::acos(-1.0) / 180.0;
  const bool below = position < 0.5;
  const double chroma = (below ? 0.135 : 0.15) * (1.0 - (1.0 - reach) * (1.0 - reach));
  return of_oklab(1.0 - 0.58 * reach, chroma, (below ? 255.0 : 48.0) * degree);
}

double luminance(const Color& color) { return 0.2126 * decoded(color.red) + 0.7152 * decoded(color.green) + 0.0722 * decoded(color.blue); }

/// Of a share of a range: what the roots and logarithms are of. Six powers of ten where the range begins at 0.
double spread_share(ColorSpread spread, double value, double low, double high) {
  if (spread == ColorSpread::logarithmic) {
    const double least = low > 0.0 ? low : high / 1e6;
    return value <= least ? 0.0 : std::log(value / least) / std::log(high / least);
  }
  const double share = std::clamp((value - low) / (high - low), 0.0, 1.0);
  return spread == ColorSpread::square_root ? std::sqrt(share) : share;
}

}  // namespace

Color color_at(ColorMap map, double position) {
  const double inside = std::clamp(position, 0.0, 1.0);
  switch (map) {
    case ColorMap::viridis:
      return of_table(viridis_table, inside);
    case ColorMap::cividis:
      return of_table(cividis_table, inside);
    case ColorMap::greys: {
      const auto grey = static_cast<float>(1.0 - 0.92 * inside);
      return {grey, grey, grey};
    }
    case ColorMap::diverging:
      return diverging_at(inside);
  }
  return {};
}

Color undefined_color(ColorMap map) {
  switch (map) {
    case ColorMap::greys:
      return {0.98f, 0.91f, 0.70f};  // the map has every grey
    case ColorMap::diverging:
      return {0.62f, 0.64f, 0.66f};  // the map has white, and no grey
    default:
      return {0.88f, 0.89f, 0.91f};  // lighter than the dark end, with less colour than the light one
  }
}

Color ink_on(const Color& background) {
  // Contrast as WCAG 2.2 defines it: (L1 + 0.05) / (L2 + 0.05); black and white have the same at 0.179.
  return luminance(background) > 0.179 ? Color{0.0f, 0.0f, 0.0f} : Color{1.0f, 1.0f, 1.0f};
}

double spread_position(ColorSpread spread, double value, double low, double high) {
  if (std::isnan(value)) return value;
  if (!(high > low)) return value > high ? 1.0 : 0.0;
  const double inside = std::clamp(value, low, high);
  if (spread == ColorSpread::linear || low >= 0.0) return std::clamp(spread_share(spread, inside, low, high), 0.0, 1.0);
  if (high <= 0.0) return 1.0 - spread_share(spread, -inside, -high, -low);
  // Each side of 0 by itself, 0 in the middle.
  return inside >= 0.0 ? 0.5 + 0.5 * spread_share(spread, inside, 0.0, high) : 0.5 - 0.5 * spread_share(spread, -inside, 0.0, -low);
}

ColorMap color_map_named(std::string_view name) {
  std::string names;
  for (const NamedMap& each : named_maps) {
    if (each.name == name) return each.map;
    names += (names.empty() ? "" : ", ") + std::string(each.name);
  }
  throw Error({"colour map", names, quoted(name), ""}, Fault::usage);
}

std::string_view color_map_name(ColorMap map) {
  for (const NamedMap& each : named_maps) {
    if (each.map == map) return each.name;
  }
  return {};
}

}  // namespace vitrine
