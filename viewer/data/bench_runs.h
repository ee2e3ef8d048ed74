#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "viewer/data/document.h"

namespace vitrine {

/// Repetitions of one measurement.
struct BenchSpread {
  double median = std::numeric_limits<double>::quiet_NaN();
  double low = median, high = median;  ///< smallest and largest
  std::size_t count = 0;
};
/// Median (the mean of the two middle ones where their number is even), smallest and largest. What is not finite is left out.
BenchSpread spread_of(std::vector<double> values);

/// A benchmark in one file: "time" in seconds, and its counters.
struct BenchRow {
  std::string name, label, failure;  ///< failure: why there are no numbers
  std::vector<std::pair<std::string, BenchSpread>> quantities;
  /// Null where it was not measured.
  const BenchSpread* quantity(const std::string& name) const;
  /// The share of what the machine can do at best, and of what: "f32 peak", "bandwidth".
  std::optional<std::pair<double, std::string>> share_of_machine() const;
};

/// A file of `vitrine bench --benchmark_format=json`, or of bench/peers/compare.py --json.
struct BenchRun {
  std::string file, date, machine;  ///< machine: what must be the same where numbers are compared
  std::vector<BenchRow> rows;
  const BenchRow* row(const std::string& name) const;
};
/// @throws Error where rows are no rows
BenchRun read_bench(const Document& document);
/// Oldest first.
std::vector<BenchRun> read_benches(const std::vector<std::shared_ptr<const Document>>& documents);

}  // namespace vitrine
