#include <algorithm>
#include <cmath>

#include "probes/figures/axis_internal.h"

namespace vitrine {
namespace {

/// Candidates in the order in which they are preferred.
std::vector<double> candidates(ColorSpread spread, double low, double high) {
  std::vector<double> values{low, high};
  if (low < 0.0 && high > 0.0) values.push_back(0.0);
  if (spread == ColorSpread::linear) {
    for (const double tick : round_ticks(low, high, 5.0)) values.push_back(tick);
    return values;
  }
  const double most = std::max(std::abs(low), std::abs(high));
  for (const double digit : {1.0, 5.0, 2.0}) {
    for (int power = 0; power <= 8; ++power) {
      const double value = digit * std::pow(10.0, std::floor(std::log10(most)) - power);
      for (const double each : {value, -value}) {
        if (each > low && each < high) values.push_back(each);
      }
    }
  }
  return values;
}

}  // namespace

std::vector<double> round_ticks(double low, double high, double count) {
  std::vector<double> result;
  if (!(high > low) || !std::isfinite(high - low)) return result;
  const double rough = (high - low) / count, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = rough / power < 2.0 ? 2.0 * power : rough / power < 5.0 ? 5.0 * power : 10.0 * power;
  for (double at = std::ceil(low / step) * step; at <= high && result.size() < 64; at += step)
    result.push_back(std::abs(at) < step / 1e6 ? 0.0 : at);
  return result;
}

std::vector<BarTick> bar_ticks(ColorSpread spread, double low, double high, double least_apart) {
  std::vector<BarTick> ticks;
  if (!(high > low)) return {{0.0, low}};
  for (const double value : candidates(spread, low, high)) {
    const double position = spread_position(spread, value, low, high);
    if (std::ranges::none_of(ticks, [&](const BarTick& tick) { return std::abs(tick.position - position) < least_apart; }))
      ticks.push_back({position, value});
  }
  std::ranges::sort(ticks, {}, &BarTick::position);
  return ticks;
}

std::size_t label_step(double cell, double needed) {
  for (std::size_t power = 1;; power *= 10) {
    for (const std::size_t step : {power, 2 * power, 5 * power}) {
      if (cell * static_cast<double>(step) >= needed) return step;
    }
  }
}

AxisRange range_around(std::span<const double> values) {
  double low = INFINITY, high = -INFINITY;
  for (const double value : values) {
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  }
  if (!(low <= high)) return {};
  const double room = std::max((high - low) * 0.05, std::max(std::abs(high), 1e-9) * 1e-3);
  return {low - room, high + room};
}

}  // namespace vitrine
