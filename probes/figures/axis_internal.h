#pragma once

#include <span>
#include <string>
#include <vector>

#include "probes/figures/figure.h"

namespace vitrine {

/// Round numbers from low to high, 1, 2 or 5 times a power of ten apart, about `count` of them.
std::vector<double> round_ticks(double low, double high, double count);

/// A tick of a bar of colours.
struct BarTick {
  double position = 0.0;  ///< in [0, 1]
  double value = 0.0;
};
/// The ends, and round numbers between them that are at least `least_apart` of the bar from each other as they are spread.
std::vector<BarTick> bar_ticks(ColorSpread spread, double low, double high, double least_apart);

/// Of labels that stand `cell` pixels apart and need `needed` each: every how many-th is shown. 1, 2 or 5 times a power of ten.
std::size_t label_step(double cell, double needed);

/// A range with a little room on both sides; [0, 1] where there is no finite number.
struct AxisRange {
  double low = 0.0, high = 1.0;
};
AxisRange range_around(std::span<const double> values);

}  // namespace vitrine
