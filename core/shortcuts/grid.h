#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <span>
#include <string>

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// Whole levels 0 to top of a run of numbers: x' = scale * (level - zero) + minimum.
struct Grid {
  double scale = 0.0, zero = 0.0, minimum = 0.0, top = 0.0;

  double level(double x) const;
  double value(double level) const { return scale * (level - zero) + minimum; }
  double round(double x) const { return value(level(x)); }
};

/// How runs of a row become grids.
struct GridRule {
  std::string name;       ///< for people: "4 bits, groups of 128, asymmetric"
  std::size_t group = 0;  ///< numbers of a run; 0: a whole row
  DType blocks = DType::f32;  ///< the block type whose blocks the runs are; f32: none, numbers are kept as f32 or f16
  /// @param numbers  a run; @param importance  of each number, or empty
  std::function<Grid(std::span<const double> numbers, std::span<const double> importance)> fit;

  std::size_t run_of(std::size_t cols) const { return group == 0 ? cols : group; }
};

/// Round to nearest as the code of GPTQ's authors does: the ends of the run and 0 lie on the grid; symmetric: 0 in its middle.
Grid nearest_grid(std::span<const double> numbers, std::size_t bits, bool is_symmetric);

/// From the keys bits, group and symmetric of a word. @throws Error (usage)
GridRule grid_rule(const ShortcutCall& call);
/// The same, or the grids of type=Q4_0|Q4_1|Q8_0.
GridRule block_grid_rule(const ShortcutCall& call);
/// Keys that grid_rule() reads.
std::vector<ShortcutOption> grid_options(std::string_view bits, std::string_view group);

/// Rows of levels under grids as blocks of rule.blocks.
/// @param levels  [cols], @param grids  [cols / 32]
void store_blocks(DType type, std::span<const Grid> grids, std::span<const double> levels, std::byte* target);

/// The block matrices whose rows a rule's runs divide. Of a type of blocks the others stay as they are, which a note tells.
/// @throws Error (usage) where groups do not divide the rows of a matrix, or blocks those of none
std::set<WeightKey> divided_matrices(const Model& model, const GridRule& rule, std::vector<std::string>& notes);
/// Whether there are any: of Shortcut::check.
void require_divided_matrices(const Model& model, const GridRule& rule);

}  // namespace vitrine
