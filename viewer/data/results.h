#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "probes/figures/figure.h"

// Tables and grids of `vitrine analyse --json` and `vitrine patch --json`, read back. The files are strangers': what does not fit is left out.

namespace vitrine {

/// Rows of named columns; a cell is a number, a text or null.
struct ResultTable {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<Json>> rows;  ///< each as long as the header
};

/// "tables" of an analysis.
std::vector<ResultTable> tables_of(const Json& analysis);
/// "grids" of an analysis, with colours chosen.
std::vector<FigureGrid> grids_of(const Json& analysis);
/// "notes" of an analysis or a sweep.
std::vector<std::string> notes_of(const Json& result);
/// A list of lists of numbers; null and texts become NaN. Empty where the rows are not of one length.
/// @param columns  is given their length
std::vector<double> matrix_of(const Json& rows, std::size_t& columns);
std::vector<std::string> texts_of(const Json& list);

/// Colours for what the grid holds: around `middle` where numbers lie on both sides of it or `always` says so, else from the least to the
/// largest, from 0 where they are counts or shares.
enum class Middle { if_crossed, always };
void choose_colors(FigureGrid& grid, double middle = 0.0, Middle how = Middle::if_crossed);

/// The whole number at the front of a label: 3 of "3 ' is'", 12 of "12". None where there is no digit.
std::optional<std::size_t> number_in_front(const std::string& label);
/// As it is printed: texts as they are, numbers with six digits.
std::string cell_text(const Json& cell);
FigureTable figure_of(const ResultTable& table);

}  // namespace vitrine
