#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Times of a run of vitrine-bench.
struct BenchResult {
  std::string machine;  ///< instruction set and threads, as bench_machine() spells them
  std::map<std::string, std::vector<double>>
      rows;  ///< seconds of every repetition of a row; rows that failed are left out
};

std::string bench_machine(std::string_view instruction_set, std::string_view threads);

/// What --benchmark_out=FILE.json wrote. @throws Error where the file is none
BenchResult read_bench_result(const std::filesystem::path& path);

/// The ratio of two medians with a 95% interval: percentiles of 4,000 bootstrap samples over the repetitions of both
/// sides, drawn independently (Efron 1979). With few repetitions such an interval is too narrow; with one there is
/// none.
struct TimeRatio {
  double value = 1.0, low = 0.0, high = 0.0;
  bool known = false;  ///< the interval is
};
TimeRatio time_ratio(const std::vector<double>& before, const std::vector<double>& after);

/// One line for each row that both have: median times, their ratio with its interval, and "slower" or "faster" where
/// the interval excludes 1; then what only one of them has.
std::string comparison(const BenchResult& before, const BenchResult& after);

}  // namespace vitrine
