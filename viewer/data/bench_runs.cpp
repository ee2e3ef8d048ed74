#include "viewer/data/bench_runs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "probes/statistics/median.h"

namespace vitrine {
namespace {

constexpr std::size_t most_rows = 1'000'000;
const std::set<std::string, std::less<>> bookkeeping{"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time"};

std::string text_of(const Json& json) { return json.is_string() ? json.string() : json.is_number() ? json.dump() : ""; }

double seconds_in(const std::string& unit) { return unit == "ns" ? 1e-9 : unit == "us" ? 1e-6 : unit == "ms" ? 1e-3 : 1.0; }

/// All repetitions of a row.
struct Samples {
  std::string label, failure;
  std::vector<std::string> order;  // of the quantities
  std::map<std::string, std::vector<double>> values;
  void add(const std::string& quantity, double value) {
    if (!values.contains(quantity)) order.push_back(quantity);
    values[quantity].push_back(value);
  }
};

/// Rows in the order in which they come.
class Collector {
 public:
  Samples& of(const std::string& name) {
    if (!samples_.contains(name)) names_.push_back(name);
    return samples_[name];
  }
  std::vector<BenchRow> rows() const {
    std::vector<BenchRow> rows;
    for (const std::string& name : names_) {
      const Samples& samples = samples_.at(name);
      BenchRow& row = rows.emplace_back();
      row.name = name, row.label = samples.label, row.failure = samples.failure;
      for (const std::string& quantity : samples.order) row.quantities.emplace_back(quantity, spread_of(samples.values.at(quantity)));
    }
    return rows;
  }

 private:
  std::map<std::string, Samples> samples_;
  std::vector<std::string> names_;
};

/// A row of Google Benchmark. Aggregates are made anew from the repetitions; where a file holds nothing else, the median stands for them.
void read_row(const Json& row, bool only_aggregates, Collector& collector) {
  const bool aggregate = text_of(row["run_type"]) == "aggregate";
  if (aggregate != only_aggregates || (aggregate && text_of(row["aggregate_name"]) != "median")) return;
  Samples& samples = collector.of(text_of(row.has("run_name") ? row["run_name"] : row["name"]));
  samples.label = text_of(row["label"]);
  if (row["error_occurred"].is_bool() && row["error_occurred"].boolean()) {
    samples.failure = text_of(row["error_message"]);
    return;
  }
  const double unit = seconds_in(text_of(row["time_unit"]));
  if (row["real_time"].is_number()) samples.add("time", row["real_time"].number() * unit);
  if (row["cpu_time"].is_number()) samples.add("CPU time", row["cpu_time"].number() * unit);
  for (const auto& [name, value] : row.members()) {
    if (value.is_number() && !bookkeeping.contains(name)) samples.add(name, value.number());
  }
}

/// A result of compare.py: one runner, one task, all its rounds.
void read_result(const Json& result, Collector& collector) {
  const Json& task = result["task"];
  Samples& samples = collector.of(text_of(task["kind"]) + " " + text_of(task["tokens"]) + " / " + text_of(result["runner"]) + " / " + text_of(result["model"]));
  samples.label = text_of(result["version"]);
  samples.failure = text_of(result["gap"]);
  if (result["kl"].is_number()) samples.add("KL to exact", result["kl"].number());
  if (!result["seconds"].is_array()) return;
  for (const Json& seconds : result["seconds"].items()) {
    if (seconds.is_number()) samples.add("time", seconds.number());
  }
}

}  // namespace

BenchSpread spread_of(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return {};
  const auto [low, high] = std::ranges::minmax(values);
  return {median(values), low, high, values.size()};
}

const BenchSpread* BenchRow::quantity(const std::string& wanted) const {
  const auto found = std::ranges::find(quantities, wanted, [](const auto& each) { return each.first; });
  return found == quantities.end() || found->second.count == 0 ? nullptr : &found->second;
}

std::optional<std::pair<double, std::string>> BenchRow::share_of_machine() const {
  constexpr std::array shares{std::pair("of_f32_peak", "f32 peak"), std::pair("of_bf16_peak", "bf16 peak"), std::pair("of_int8_peak", "int8 peak"), std::pair("of_bandwidth", "bandwidth")};
  for (const auto& [name, words] : shares) {
    if (const BenchSpread* share = quantity(name)) return std::pair(share->median, std::string(words));
  }
  return std::nullopt;
}

const BenchRow* BenchRun::row(const std::string& name) const {
  const auto found = std::ranges::find(rows, name, &BenchRow::name);
  return found == rows.end() ? nullptr : &*found;
}

BenchRun read_bench(const Document& document) {
  const Json& context = document.json["context"];
  BenchRun run{document.path.filename().string(), text_of(context["date"]), "", {}};
  for (const char* part : {"host_name", "num_cpus", "instruction_set", "worker_threads", "library_build_type"}) {
    if (context.has(part)) run.machine += (run.machine.empty() ? "" : ", ") + std::string(part) + " " + text_of(context[part]);
  }
  Collector collector;
  const bool peers = document.json["results"].is_array();
  const auto& rows = (peers ? document.json["results"] : document.json["benchmarks"]).items();
  if (rows.size() > most_rows) throw Error({document.path.string(), "at most a million rows", std::to_string(rows.size()), ""});
  for (const Json& row : rows) {
    if (!row.is_object()) throw Error({document.path.string(), "rows of a benchmark as objects", row.dump().substr(0, 40), ""});
  }
  const bool only_aggregates = !peers && std::ranges::none_of(rows, [](const Json& row) { return text_of(row["run_type"]) != "aggregate"; });
  for (const Json& row : rows) peers ? read_result(row, collector) : read_row(row, only_aggregates, collector);
  run.rows = collector.rows();
  return run;
}

std::vector<BenchRun> read_benches(const std::vector<std::shared_ptr<const Document>>& documents) {
  std::vector<BenchRun> runs;
  for (const auto& document : documents) {
    if (document->kind == DocumentKind::benchmark) runs.push_back(read_bench(*document));
  }
  std::ranges::stable_sort(runs, {}, &BenchRun::date);  // ISO 8601: letters are in the order of time
  return runs;
}

}  // namespace vitrine
