#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/statistics/estimate.h"

// What a picture shows, as data: panels of the viewer and reports make it, one writer for each kind of file draws it.

namespace vitrine {

/// Which colours stand for numbers. All keep their order for people who see red and green alike.
enum class ColorMap {
  viridis,   ///< van der Walt & Smith 2015: the default
  cividis,   ///< Nunez, Anderton & Renslow 2018
  greys,     ///< white to black: for print
  diverging  ///< blue, white, orange-red: signed numbers, whose middle is 0
};

/// How numbers are spread over the colours.
enum class ColorSpread { linear, square_root, logarithmic };

// Members are initialised, so that a part may be made of those that it needs: {.title = "...", .rows = 3, ...}.

/// Numbers over two axes as coloured cells.
struct FigureGrid {
  std::string title{}, row_axis{}, column_axis{}, unit{};
  std::size_t rows = 0, columns = 0;
  /// Cells of a block, which is a picture of its own (a thumbnail of a map): blocks are set apart, and labels are theirs.
  std::size_t block_rows = 1, block_columns = 1;
  std::vector<std::string> row_labels{}, column_labels{};  ///< as many as there are rows and columns (of blocks), or none
  std::vector<double> values{};                            ///< [rows, columns]; NaN: masked or undefined
  ColorMap colors = ColorMap::viridis;
  ColorSpread spread = ColorSpread::linear;
  double low = 0.0, high = 1.0;  ///< what the first and last colour stand for
};

/// Cells as they are printed.
struct FigureTable {
  std::string title{};
  std::vector<std::string> header{};
  std::vector<std::vector<std::string>> rows{};
};

/// Pieces of text, each with a number that colours it.
struct FigureText {
  std::string title{}, unit{};
  std::vector<std::string> spans{};
  std::vector<double> values{};  ///< one for each span; NaN: no colour
  ColorMap colors = ColorMap::viridis;
  double low = 0.0, high = 1.0;
};

/// Points in a plane, with intervals where they are known.
struct FigurePoints {
  std::string title{}, x_axis{}, y_axis{};
  struct Point {
    std::string name{};
    double x = 0.0, y = 0.0;
    double x_low = 0.0, x_high = 0.0, y_low = 0.0, y_high = 0.0;  ///< equal to x and y where there is no interval
    bool marked = false;                                          ///< the baseline, a member of the front
  };
  std::vector<Point> points{};
  std::vector<std::size_t> line{};  ///< places in `points` that a line joins (a Pareto front, a history)
};

/// Estimates as points with intervals, null and control; one picture for each unit.
struct FigureEstimates {
  std::string title{};
  std::vector<Estimate> rows{};
};

/// What is seen. The parts stand one below the other.
struct Figure {
  std::string title{};
  std::vector<std::string> notes{};  ///< what a reader must know: where it comes from, what was reduced
  std::vector<FigureGrid> grids{};
  std::vector<FigureText> texts{};
  std::vector<FigurePoints> points{};
  std::vector<FigureEstimates> estimates{};
  std::vector<FigureTable> tables{};
  bool empty() const { return grids.empty() && texts.empty() && points.empty() && estimates.empty() && tables.empty(); }
};

/// Red, green and blue, each 0 to 1, of `position` in [0, 1].
struct Color {
  float red = 0.0f, green = 0.0f, blue = 0.0f;
};
Color color_at(ColorMap map, double position);
/// What stands for NaN: a colour that the map does not have.
Color undefined_color(ColorMap map);
/// Black or white, whichever is read better on the background.
Color ink_on(const Color& background);
/// Where `value` stands between low and high, in [0, 1], as it is spread. NaN stays NaN. The root is that of the share of the range; the
/// logarithm begins at low, or at a millionth of high where low is 0. Where low < 0 < high, both spread each side of 0 by itself, and 0
/// stands in the middle.
double spread_position(ColorSpread spread, double value, double low, double high);
/// "viridis", ... @throws Error (usage) where there is no such map
ColorMap color_map_named(std::string_view name);
std::string_view color_map_name(ColorMap map);

/// The units of the estimates, each once, in the order in which they come.
std::vector<std::string> units_of(std::span<const Estimate> estimates);
/// "[0.12, 0.34]", or what stands in the place of an interval that is not there.
std::string interval_text(const Estimate& estimate);

/// One picture, in inline attributes alone (no style sheets, so that every reader of SVG shows it), with titles on cells and points.
std::string figure_svg(const Figure& figure);
/// Every number that is seen, at full precision: parts one below the other, each with a line "# title" before its header.
std::string figure_csv(const Figure& figure);
/// The values of the first grid as NumPy's format 1.0: f64 [rows, columns]. @throws Error where the figure has no grid
std::string figure_npy(const Figure& figure);

}  // namespace vitrine
