#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "viewer/data/document.h"

namespace vitrine {

/// A number of one variant; low and high equal it where there is no interval.
struct TradeoffCell {
  double value = std::numeric_limits<double>::quiet_NaN();  ///< NaN: undefined
  double low = value, high = value;
};

/// A column of a trade-off study, one cell for each variant.
struct TradeoffColumn {
  std::string name, unit;
  Direction direction = Direction::lower;  ///< target: the nearer to 0 the better
  std::vector<TradeoffCell> cells;
};

/// Everything that `vitrine study tradeoff` measured, as columns that can be set against each other: its table's, then its estimates'.
struct TradeoffTable {
  std::vector<std::string> variants;
  std::vector<bool> controls;              ///< no choice of a user's: noise of the same size
  std::optional<std::size_t> baseline;     ///< the numeric floor: what exact arithmetic with another kernel does
  std::vector<TradeoffColumn> columns;
};
/// @throws Error where the study has no table of variants
TradeoffTable read_tradeoffs(const Document& study);

/// Which axes and variants are compared.
struct ParetoOrder {
  std::size_t x = 0, y = 0;  ///< columns
  Direction x_direction = Direction::higher, y_direction = Direction::lower;
};
/// The variants that no other one beats in both columns (as good in both and better in one), by x. Controls and undefined ones are left out.
std::vector<std::size_t> pareto_front(const TradeoffTable& table, const ParetoOrder& order);

}  // namespace vitrine
