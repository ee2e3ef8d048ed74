#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <regex>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "probes/figures/figure.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/png.h"

namespace vitrine {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// ---- colours

double lightness(const Color& color) {  // CIE L*, D65
  const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
  const double y = 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
  return y > 216.0 / 24389.0 ? 116.0 * std::cbrt(y) - 16.0 : y * 24389.0 / 27.0;
}

TEST(Colors, AreThePublishedOnes) {
  // The first, middle and last entries as published, to their 8 bits.
  const struct {
    ColorMap map;
    double position;
    float red, green, blue;
  } known[]{{ColorMap::viridis, 0.0, 0.267004f, 0.004874f, 0.329415f},
            {ColorMap::viridis, 128.0 / 255, 0.127568f, 0.566949f, 0.550556f},
            {ColorMap::viridis, 1.0, 0.993248f, 0.906157f, 0.143936f},
            {ColorMap::cividis, 0.0, 0.0f, 0.135112f, 0.304751f},
            {ColorMap::cividis, 1.0, 0.995737f, 0.909344f, 0.217772f}};
  for (const auto& each : known) {
    const Color color = color_at(each.map, each.position);
    EXPECT_NEAR(color.red, each.red, 0.5 / 255) << color_map_name(each.map) << " " << each.position;
    EXPECT_NEAR(color.green, each.green, 0.5 / 255) << color_map_name(each.map) << " " << each.position;
    EXPECT_NEAR(color.blue, each.blue, 0.5 / 255) << color_map_name(each.map) << " " << each.position;
  }
}

TEST(Colors, KeepTheirOrderInLightness) {
  for (const ColorMap map : {ColorMap::viridis, ColorMap::cividis}) {
    for (int i = 1; i < 256; ++i)
      EXPECT_GE(lightness(color_at(map, i / 255.0)), lightness(color_at(map, (i - 1) / 255.0)) - 0.1) << color_map_name(map) << " " << i;
  }
  for (int i = 1; i < 256; ++i)
    EXPECT_LT(lightness(color_at(ColorMap::greys, i / 255.0)), lightness(color_at(ColorMap::greys, (i - 1) / 255.0)));
  for (int i = 1; i <= 100; ++i) {  // both sides fall off from white alike
    const double below = lightness(color_at(ColorMap::diverging, 0.5 - i / 200.0)),
                 above = lightness(color_at(ColorMap::diverging, 0.5 + i / 200.0));
    EXPECT_LT(below, lightness(color_at(ColorMap::diverging, 0.5 - (i - 1) / 200.0)));
    EXPECT_NEAR(below, above, 6.0) << i;
  }
  const Color middle = color_at(ColorMap::diverging, 0.5), low = color_at(ColorMap::diverging, 0.1),
              high = color_at(ColorMap::diverging, 0.9);
  EXPECT_GT(std::min({middle.red, middle.green, middle.blue}), 0.995f);
  EXPECT_GT(low.blue, low.red + 0.3f);
  EXPECT_GT(high.red, high.blue + 0.3f);
}

TEST(Colors, HaveOneOfTheirOwnForNaN) {
  for (const ColorMap map : {ColorMap::viridis, ColorMap::cividis, ColorMap::greys, ColorMap::diverging}) {
    const Color own = undefined_color(map);
    for (int i = 0; i <= 1000; ++i) {
      const Color color = color_at(map, i / 1000.0);
      const float distance = std::hypot(color.red - own.red, color.green - own.green, color.blue - own.blue);
      EXPECT_GT(distance, 0.1f) << color_map_name(map) << " " << i;
    }
    EXPECT_EQ(color_map_named(color_map_name(map)), map);
  }
  EXPECT_THROW(color_map_named("jet"), Error);
}

TEST(Colors, InkIsReadOnEach) {
  const auto luminance = [](const Color& color) {
    const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
    return 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
  };
  for (const ColorMap map : {ColorMap::viridis, ColorMap::cividis, ColorMap::greys, ColorMap::diverging}) {
    for (int i = 0; i <= 100; ++i) {
      const Color ground = color_at(map, i / 100.0), ink = ink_on(ground);
      const double a = luminance(ground) + 0.05, b = luminance(ink) + 0.05;
      EXPECT_GE(std::max(a, b) / std::min(a, b), 4.5) << color_map_name(map) << " " << i;  // WCAG 2.2, level AA
    }
  }
}

TEST(Spread, PutsNumbersWhereItSays) {
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::linear, 3.0, 1.0, 5.0), 0.5);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::linear, -1.0, -2.0, 6.0), 0.125);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::square_root, 0.25, 0.0, 1.0), 0.5);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::logarithmic, 1.0, 0.01, 100.0), 0.5);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::logarithmic, 1e-3, 0.0, 1.0), 0.5);  // six powers of ten from 0
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::logarithmic, 0.0, 0.0, 1.0), 0.0);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::square_root, 0.0, -4.0, 1.0), 0.5);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::square_root, -1.0, -4.0, 1.0), 0.25);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::square_root, 0.25, -4.0, 1.0), 0.75);
  EXPECT_DOUBLE_EQ(spread_position(ColorSpread::square_root, -1.0, -4.0, 0.0), 0.5);
  for (const ColorSpread spread : {ColorSpread::linear, ColorSpread::square_root, ColorSpread::logarithmic}) {
    EXPECT_TRUE(std::isnan(spread_position(spread, nan, 0.0, 1.0)));
    EXPECT_EQ(spread_position(spread, 7.0, 0.5, 2.0), 1.0);
    EXPECT_EQ(spread_position(spread, INFINITY, 0.5, 2.0), 1.0);
    EXPECT_EQ(spread_position(spread, -INFINITY, 0.5, 2.0), 0.0);
    EXPECT_EQ(spread_position(spread, 1.0, 1.0, 1.0), 0.0);
    double before = -1.0;
    for (double value = -2.0; value <= 3.0; value += 0.01) {
      const double at = spread_position(spread, value, -2.0, 3.0);
      EXPECT_GE(at, before);
      before = at;
    }
  }
}

// ---- text

TEST(FigureText, IsSafeInXml) {
  EXPECT_EQ(escaped("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
  EXPECT_EQ(escaped("\xe6\x9d"), "&lt;E6&gt;&lt;9D&gt;");                // half a character
  EXPECT_EQ(escaped("\xed\xa0\x80"), "&lt;ED&gt;&lt;A0&gt;&lt;80&gt;");  // a surrogate
  EXPECT_EQ(escaped(std::string("\0\x1b", 2)), "&lt;00&gt;&lt;1B&gt;");
  EXPECT_EQ(escaped("\u20ac \U0001f600\n"), "\u20ac \U0001f600\n");
  EXPECT_EQ(shortened("\u20ac\u20ac\u20ac", 2), "\u20ac\u20ac\u2026");
  EXPECT_EQ(text_columns("a\u4e2d\U0001f600e\u0301"), 6u);
}

// ---- pictures

/// Elements are closed in the order in which they were opened, and attributes are quoted: enough of XML to notice what we could get wrong.
void expect_well_formed(const std::string& svg) {
  std::vector<std::string> open;
  const std::regex tag(R"(<(/?)([a-z]+)((?: [a-zA-Z0-9:\-]+="[^"<]*")*)\s*(/?)>)");
  std::size_t tags = 0;
  for (auto at = std::sregex_iterator(svg.begin(), svg.end(), tag); at != std::sregex_iterator(); ++at, ++tags) {
    if ((*at)[1].length() > 0) {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(open.back(), (*at)[2].str());
      open.pop_back();
    } else if ((*at)[4].length() == 0) {
      open.push_back((*at)[2].str());
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(tags, static_cast<std::size_t>(std::ranges::count(svg, '<'))) << "a '<' that begins no element";
  EXPECT_EQ(svg.find("style"), std::string::npos);
  EXPECT_EQ(svg.find("class="), std::string::npos);
}

std::vector<std::string> numbers_up_to(std::size_t count) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < count; ++i) labels.push_back(std::to_string(i));
  return labels;
}

FigureGrid grid_of(std::size_t rows, std::size_t columns) {
  FigureGrid grid{.title = "Mean <weight>",
                  .row_axis = "layer",
                  .column_axis = "head",
                  .unit = "share",
                  .rows = rows,
                  .columns = columns,
                  .row_labels = numbers_up_to(rows),
                  .column_labels = numbers_up_to(columns),
                  .values = {}};
  for (std::size_t i = 0; i < rows * columns; ++i) grid.values.push_back(static_cast<double>(i) / static_cast<double>(rows * columns));
  return grid;
}

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(FigureSvg, FewCellsSayTheirNumbers) {
  FigureGrid grid = grid_of(3, 5);
  grid.values[7] = nan;
  const std::string svg = figure_svg({.title = "A & B", .grids = {grid}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("<title>layer 2, head 4: 0.9333 share</title>"));
  EXPECT_THAT(svg, Not(HasSubstr("<title>layer 1, head 2")));
  EXPECT_THAT(svg, HasSubstr("masked or undefined"));
  EXPECT_EQ(count_of(svg, "<title>"), 14u);
  EXPECT_THAT(figure_svg({.grids = {grid_of(3, 5)}}), Not(HasSubstr("masked")));
  grid.high = 0.5;
  EXPECT_THAT(figure_svg({.grids = {grid}}), HasSubstr("\u2265 0.5"));  // numbers beyond the end are not hidden
}

TEST(FigureSvg, ManyCellsAreOneImageOfTheirColors) {
  FigureGrid grid = grid_of(130, 70);
  grid.values[0] = nan;
  const std::string svg = figure_svg({.grids = {grid}});
  expect_well_formed(svg);
  EXPECT_LT(svg.size(), 40'000u);
  EXPECT_EQ(count_of(svg, "<title>"), 0u);
  // The image's pixels are the cells.
  const std::string begin = "image-rendering=\"pixelated\" xlink:href=\"data:image/png;base64,";
  const std::size_t at = svg.find(begin);
  ASSERT_NE(at, std::string::npos);
  const std::string text = svg.substr(at + begin.size(), svg.find('"', at + begin.size()) - at - begin.size());
  std::string bytes;
  std::uint32_t bits = 0;
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < text.size() && text[i] != '='; ++i) {
    bits = bits << 6 | static_cast<std::uint32_t>(digits.find(text[i]));
    if (i % 4 != 0) bytes += static_cast<char>(bits >> (6 - 2 * (i % 4)) & 0xff);
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_TRUE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  image.format = PNG_FORMAT_RGB;
  ASSERT_EQ(image.width, 70u);
  ASSERT_EQ(image.height, 130u);
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  ASSERT_TRUE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr));
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const Color color =
        std::isnan(grid.values[i]) ? undefined_color(grid.colors) : color_at(grid.colors, std::round(grid.values[i] * 253) / 253);
    EXPECT_NEAR(pixels[3 * i], color.red * 255, 0.6) << i;
    EXPECT_NEAR(pixels[3 * i + 1], color.green * 255, 0.6) << i;
    EXPECT_NEAR(pixels[3 * i + 2], color.blue * 255, 0.6) << i;
  }
}

TEST(FigureSvg, BlocksAreSetApartAndNamed) {
  FigureGrid grid = grid_of(6, 12);
  grid.block_rows = 3;
  grid.block_columns = 4;
  grid.row_labels = {"7", "8"};
  grid.column_labels = {"0", "1", "2"};
  const std::string svg = figure_svg({.grids = {grid}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("<title>layer 8, head 2</title>"));
  EXPECT_EQ(count_of(svg, "<title>"), 6u);
  EXPECT_EQ(count_of(svg, "image-rendering=\"pixelated\""), 1u);
  // Six rows and a gap, twelve columns and two gaps, in cells of one size.
  std::smatch size;
  ASSERT_TRUE(std::regex_search(
      svg, size, std::regex(R"re(width="([0-9.]+)" height="([0-9.]+)" preserveAspectRatio="none" image-rendering="pixelated")re")));
  EXPECT_DOUBLE_EQ(std::stod(size[1]) / 14, std::stod(size[2]) / 7);
}

/// Labels of the columns that are shown, as they are placed: x and half a width.
TEST(FigureSvg, LabelsNeverOverlap) {
  for (const std::size_t columns : {5u, 30u, 31u, 100u, 700u, 3000u}) {
    for (const bool words : {false, true}) {
      FigureGrid grid = grid_of(1, columns);
      if (words)
        std::ranges::transform(grid.column_labels, grid.column_labels.begin(),
                               [](const std::string& number) { return number + " 'word'"; });
      const std::string svg = figure_svg({.grids = {grid}});
      const std::regex upright(R"re(<text x="([0-9.]+)" y="([0-9.]+)" text-anchor="middle">([0-9]+)</text>)re"),
          turned(R"re(translate\(([0-9.]+),([0-9.]+)\) rotate\(-90\)" text-anchor="end">)re");
      double before = -1e9, least = 1e9, longest = 0.0;
      std::size_t shown = 0;
      const std::regex& pattern = words && columns > 5 ? turned : upright;
      for (auto at = std::sregex_iterator(svg.begin(), svg.end(), pattern); at != std::sregex_iterator(); ++at, ++shown) {
        const double x = std::stod((*at)[1]);
        least = std::min(least, x - before);
        before = x;
        if (&pattern == &upright) longest = std::max(longest, text_width((*at)[3].str(), 12.0));
      }
      if (words && columns == 5) continue;  // five words are turned, or not: either may be
      EXPECT_GE(shown, std::min<std::size_t>(columns, 4)) << columns;
      EXPECT_GE(least, &pattern == &turned ? 13.0 : longest) << columns << (words ? " words" : " numbers");
    }
  }
}

TEST(FigureSvg, TextIsWrappedOnGroundsThatAreReadable) {
  FigureText text{.title = "ln P", .unit = "nats", .spans = {}, .values = {}};
  for (int i = 0; i < 200; ++i) {
    text.spans.push_back(i % 50 == 49 ? "\n" : i == 3 ? "\xe6\x9d" : " word<");
    text.values.push_back(i == 0 ? nan : i / 200.0);
  }
  text.spans[7] = std::string(400, 'x');  // longer than a line
  const std::string svg = figure_svg({.texts = {text}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("&lt;E6&gt;&lt;9D&gt;"));
  EXPECT_THAT(svg, HasSubstr("fill=\"#ffffff\">"));
  EXPECT_EQ(count_of(svg, "nats</title>"), 199u + 3u);  // one in four lines
  const double width = std::stod(svg.substr(svg.find("viewBox=\"0 0 ") + 13));
  const std::regex box(R"re(<rect x="([0-9.e+]+)" y="[0-9.]+" width="([0-9.]+)" height="18")re");
  for (auto at = std::sregex_iterator(svg.begin(), svg.end(), box); at != std::sregex_iterator(); ++at) {
    EXPECT_LE(std::stod((*at)[1]) + std::stod((*at)[2]), width) << at->str();
  }
}

TEST(FigureSvg, PointsHaveIntervalsAndALine) {
  FigurePoints points{.title = "", .x_axis = "MiB", .y_axis = "nats", .points = {}, .line = {0, 2}};
  points.points = {{"base", 10, 1.0, 10, 10, 0.8, 1.2, true},
                   {"Q4", 4, 1.1, 4, 4, 1.0, INFINITY, false},
                   {"Q8", 6, 1.05, 6, 6, 1.05, 1.05, false},
                   {"none", nan, 1.0, nan, nan, 1.0, 1.0, false}};
  const std::string svg = figure_svg({.points = {points}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("<polyline"));
  EXPECT_THAT(svg, HasSubstr("base: MiB 10, nats 1 [0.8, 1.2]"));
  EXPECT_THAT(svg, HasSubstr("stroke-dasharray"));  // an open end
  EXPECT_THAT(svg, HasSubstr("1 of 4 are not drawn"));
  for (const char* name : {">base</text>", ">Q4</text>", ">Q8</text>"}) EXPECT_THAT(svg, HasSubstr(name));
}

TEST(FigureSvg, EstimatesOfTwoUnitsShareNoAxis) {
  Estimate a{.name = "a",
             .value = 1.0,
             .low = 0.5,
             .high = 1.5,
             .resampled_unit = "pair",
             .n = 9,
             .method = "t",
             .unit = "nats",
             .null_value = 0.0,
             .p = {},
             .family = {},
             .tier = {},
             .control = {},
             .margin = {},
             .verdict = Verdict::differs,
             .reason = {}};
  Estimate b = a;
  b.name = "b";
  b.unit = "share";
  b.null_value.reset();
  b.verdict = Verdict::inconclusive;
  const std::string svg = figure_svg({.estimates = {{"", {a, b}}}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("1 [0.5, 1.5], differs"));
  EXPECT_THAT(svg, Not(HasSubstr("inconclusive")));  // nothing was tested
  EXPECT_EQ(units_of(std::vector<Estimate>{a, b, a}), (std::vector<std::string>{"nats", "share"}));
}

TEST(FigureSvg, TablesNotesAndEmptyFigures) {
  FigureTable table{.title = "T", .header = {"name", "value"}, .rows = {}};
  for (int i = 0; i < 300; ++i) table.rows.push_back({"row " + std::to_string(i), std::to_string(i * 1.5)});
  std::string note;
  for (int i = 0; i < 60; ++i) note += "words ";
  const std::string svg = figure_svg({.notes = {note}, .tables = {table}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("100 more rows"));
  EXPECT_GE(count_of(svg, "words</text>"), 3u);  // wrapped
  expect_well_formed(figure_svg({}));
}

// ---- files

TEST(FigureCsv, HasEveryNumberAtFullPrecision) {
  FigureGrid grid{.title = "g",
                  .row_axis = "r",
                  .column_axis = "c",
                  .unit = "u",
                  .rows = 1,
                  .columns = 2,
                  .row_labels = {"a,b"},
                  .column_labels = {"x", "say \"y\"\n"},
                  .values = {0.1, nan}};
  FigureText text{.title = "t", .unit = "nats", .spans = {"a", "\n"}, .values = {1.0 / 3.0, nan}};
  EXPECT_EQ(
      figure_csv({.grids = {grid}, .texts = {text}}),
      "# g [u]\r\nr\\c,x,\"say \"\"y\"\"\n\"\r\n\"a,b\",0.1,\r\n\r\n# t\r\nplace,text,nats\r\n0,a,0.3333333333333333\r\n1,\"\n\",\r\n");
}

TEST(FigureNpy, IsWhatNumpyReads) {
  FigureGrid grid = grid_of(3, 7);
  grid.values[2] = nan;
  const std::string file = figure_npy({.grids = {grid}});
  ASSERT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t length = static_cast<unsigned char>(file[8]) + 256u * static_cast<unsigned char>(file[9]);
  EXPECT_EQ((10 + length) % 64, 0u);
  EXPECT_EQ(file[9 + length], '\n');
  EXPECT_THAT(file.substr(10, length), HasSubstr("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 7), }"));
  ASSERT_EQ(file.size(), 10 + length + 21 * 8);
  std::vector<double> values(21);
  std::memcpy(values.data(), file.data() + 10 + length, 21 * 8);
  EXPECT_TRUE(std::isnan(values[2]));
  EXPECT_EQ(values[20], grid.values[20]);
  EXPECT_THROW(figure_npy({}), Error);
}

TEST(Png, KeepsEveryPixel) {
  std::vector<std::uint8_t> rgba;
  for (int i = 0; i < 7 * 5 * 4; ++i) rgba.push_back(static_cast<std::uint8_t>(i * 37));
  const std::string bytes = png_of(rgba, 7, 5);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_TRUE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  image.format = PNG_FORMAT_RGBA;
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  ASSERT_TRUE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr));
  EXPECT_EQ(pixels, rgba);
  EXPECT_EQ(base64_of("M"), "TQ==");  // RFC 4648's kind of example
  EXPECT_EQ(base64_of("Ma"), "TWE=");
  EXPECT_EQ(base64_of("Man"), "TWFu");
}

}  // namespace
}  // namespace vitrine
