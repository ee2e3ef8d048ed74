#include "bench/compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>

#include "core/base/error.h"
#include "core/base/json.h"

namespace vitrine {
namespace {

constexpr std::size_t samples = 4000;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

double median_of_a_sample(const std::vector<double>& values, std::mt19937& random) {
  std::vector<double> drawn;
  for (std::size_t i = 0; i < values.size(); ++i) drawn.push_back(values[random() % values.size()]);
  return median(std::move(drawn));
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& found) {
  throw Error({path.string(), "a result of vitrine-bench (--benchmark_out=FILE.json)", found, ""});
}

double seconds_of(const Json& row, const std::filesystem::path& path) {
  const std::map<std::string, double> units{{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}};
  const Json& unit = row["time_unit"];
  const auto found = unit.is_string() ? units.find(unit.string()) : units.end();
  const Json& time = row["real_time"];
  if (found == units.end() || !time.is_number() || !(time.number() > 0.0)) {
    refuse(path, "the row " + quoted(row["name"].string()) + " without a time");
  }
  return time.number() * found->second;
}

std::string text(const Json& value) { return value.is_string() ? value.string() : ""; }

std::string duration(double seconds) {
  char line[32];
  const double scale = seconds < 1e-3 ? 1e6 : seconds < 1.0 ? 1e3 : 1.0;
  std::snprintf(line, sizeof line, "%.4g %s", seconds * scale, seconds < 1e-3 ? "us" : seconds < 1.0 ? "ms" : "s");
  return line;
}

std::string line_of(const std::string& name, const std::vector<double>& before, const std::vector<double>& after) {
  const TimeRatio ratio = time_ratio(before, after);
  char numbers[160];
  if (ratio.known) {
    const char* word = ratio.low > 1.0 ? "slower" : ratio.high < 1.0 ? "faster" : "";
    std::snprintf(numbers, sizeof numbers, "%6.3f  [%.3f, %.3f]  %s", ratio.value, ratio.low, ratio.high, word);
  } else {
    std::snprintf(numbers, sizeof numbers, "%6.3f  unknown: one repetition", ratio.value);
  }
  char line[512];
  std::snprintf(line, sizeof line, "%-56s %10s %10s  ", name.c_str(), duration(median(before)).c_str(),
                duration(median(after)).c_str());
  std::string whole = std::string(line) + numbers;
  whole.erase(whole.find_last_not_of(' ') + 1);
  return whole + "\n";
}

std::string missing(const BenchResult& there, const BenchResult& here, const std::string& word) {
  std::string lines;
  for (const auto& [name, seconds] : there.rows) {
    if (!here.rows.contains(name)) lines += "only " + word + ": " + name + "\n";
  }
  return lines;
}

}  // namespace

std::string bench_machine(std::string_view instruction_set, std::string_view threads) {
  return std::string(instruction_set) + ", " + std::string(threads) + " threads";
}

BenchResult read_bench_result(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) refuse(path, "nothing that can be read");
  const std::string words((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const Json json = parse_json(words, path.string());
  if (!json.is_object()) refuse(path, "no list `benchmarks`");
  const Json& rows = json["benchmarks"];
  if (!rows.is_array()) refuse(path, "no list `benchmarks`");
  const Json& context = json["context"];
  BenchResult result{bench_machine(text(context["instruction_set"]), text(context["worker_threads"])), {}};
  for (const Json& row : rows.items()) {
    if (!row["name"].is_string()) refuse(path, "a row without a name");
    if (text(row["run_type"]) == "aggregate" || row.has("error_occurred")) continue;
    result.rows[row["name"].string()].push_back(seconds_of(row, path));
  }
  if (result.rows.empty()) refuse(path, "no row with a time (were only aggregates written?)");
  return result;
}

TimeRatio time_ratio(const std::vector<double>& before, const std::vector<double>& after) {
  VITRINE_CHECK(!before.empty() && !after.empty());
  TimeRatio ratio{median(after) / median(before)};
  if (before.size() < 2 || after.size() < 2) return ratio;
  std::mt19937 random(1);
  std::vector<double> drawn;
  for (std::size_t i = 0; i < samples; ++i)
    drawn.push_back(median_of_a_sample(after, random) / median_of_a_sample(before, random));
  std::ranges::sort(drawn);
  ratio.low = drawn[samples * 25 / 1000];
  ratio.high = drawn[samples - 1 - samples * 25 / 1000];
  ratio.known = true;
  return ratio;
}

std::string comparison(const BenchResult& before, const BenchResult& after) {
  std::string lines;
  if (before.machine != after.machine) {
    lines += "Not the same machine or threads: " + before.machine + " before, " + after.machine + " after.\n";
  }
  char header[512];
  std::snprintf(header, sizeof header, "%-56s %10s %10s  %6s  %s\n", "row", "before", "after", "ratio",
                "95% interval (bootstrap over repetitions)");
  lines += header;
  std::size_t single = 0;
  for (const auto& [name, seconds] : after.rows) {
    const auto old = before.rows.find(name);
    if (old == before.rows.end()) continue;
    lines += line_of(name, old->second, seconds);
    single += old->second.size() < 2 || seconds.size() < 2 ? 1 : 0;
  }
  if (single > 0) lines += "One repetition says nothing of the spread: run both with --benchmark_repetitions=7.\n";
  return lines + missing(before, after, "before") + missing(after, before, "after");
}

}  // namespace vitrine
