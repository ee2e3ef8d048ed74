#include "experiments/tuning.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "probes/statistics/median.h"

namespace vitrine {
namespace {

constexpr int rounds = 5;
constexpr double least_seconds = 4e-3;  // of the calls that one sample is the mean of
constexpr double hopeless = 10.0;       // times slower than the fastest: one sample is enough
constexpr std::int64_t format = 1;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double sample_seconds(AttentionRun& call) {
  std::size_t calls = 0;
  const double start = now();
  double taken = 0.0;
  while (taken < least_seconds) {
    call();
    ++calls;
    taken = now() - start;
  }
  return taken / static_cast<double>(calls);
}

double relative_error(std::span<const float> found, std::span<const float> expected) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    difference += std::pow(static_cast<double>(found[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

void time_kernels(TunedShape& place, ThreadPool& pool) {
  AttentionSample expected(place.shape), sample(place.shape);
  AttentionRun(choose_attention_kernel("reference"), expected.problem(), pool)();
  std::vector<std::pair<const AttentionKernel*, AttentionRun>> calls;
  std::map<const AttentionKernel*, std::vector<double>> seconds;
  double fastest = 1e9;
  for (const AttentionKernel* kernel : auto_kernels(Precision::fast)) {
    if (!kernel->refuses(sample.problem(), {}).empty()) continue;
    AttentionRun& call = calls.emplace_back(kernel, AttentionRun(choose_attention_kernel(kernel->name), sample.problem(), pool)).second;
    call();
    if (!(relative_error(sample.out(), expected.out()) <= static_cast<double>(kernel->tolerance))) {
      throw Error({"kernel " + std::string(kernel->name), "the values of `reference`", "others for " + place.name, "this is a fault of the program: please report it"});
    }
    seconds[kernel].push_back(sample_seconds(call));
    fastest = std::min(fastest, seconds[kernel].back());
  }
  for (int round = 1; round < rounds; ++round) {
    for (auto& [kernel, call] : calls) {
      if (seconds[kernel].front() < hopeless * fastest) seconds[kernel].push_back(sample_seconds(call));
    }
  }
  for (const auto& [kernel, samples] : seconds) place.seconds[std::string(kernel->name)] = median(samples);
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

Json to_json(const TuningKey& key) {
  return Json::object().set("cpu", key.cpu).set("simd", key.simd).set("version", key.version).set("threads", static_cast<std::uint64_t>(key.threads));
}

/// The key a file says it has. @throws std::logic_error where it is no key
TuningKey key_of(const Json& json) {
  return {json["cpu"].string(), json["simd"].string(), json["version"].string(), static_cast<std::size_t>(json["threads"].integer())};
}

/// @throws std::logic_error or Error where the file is damaged
TuningTable table_of(const Json& json) {
  TuningTable table{key_of(json["key"]), {}};
  for (const TunedShape& known : shapes_to_tune()) {
    TunedShape place = known;
    for (const auto& [kernel, seconds] : json["seconds"][known.name].members()) {
      if (!(seconds.number() > 0.0) || !std::isfinite(seconds.number())) throw std::logic_error("a time that is none");
      place.seconds[kernel] = seconds.number();
    }
    table.shapes.push_back(std::move(place));
  }
  return table;
}

std::filesystem::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && *cache) return std::filesystem::path(cache) / "vitrine";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home && *home ? home : "/tmp") / ".cache" / "vitrine";
}

/// The full softmax, and rounds queries and keys only where that is allowed.
bool is_exact(const AttentionKernel& kernel, Precision precision) {
  if (kernel.device != "cpu" || !kernel.split_invariant || kernel.name == "check") return false;
  try {
    PatternRule rule = kernel.rule({});
    if (precision == Precision::fast) rule.bf16_factors = false;
    return rule == PatternRule{};
  } catch (const Error&) {  // it needs options: another rule
    return false;
  }
}

}  // namespace

TuningKey tuning_key(std::size_t threads) { return {cpu_name(), simd_in_use(), VITRINE_VERSION, threads}; }

std::vector<const AttentionKernel*> auto_kernels(Precision precision) {
  std::vector<const AttentionKernel*> kernels;
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (is_exact(*kernel, precision)) kernels.push_back(kernel);
  }
  return kernels;
}

std::vector<TunedShape> shapes_to_tune() {
  std::vector<TunedShape> shapes;
  for (const std::size_t head_dim : {32u, 64u, 128u}) {
    for (const DType kv : {DType::f32, DType::f16}) {
      const std::string tail = "_head_" + std::to_string(head_dim) + "_" + std::string(dtype_info(kv).name);
      for (const std::size_t tokens : {128u, 1024u}) {
        shapes.push_back({"prompt_" + std::to_string(tokens) + tail, {8, 4, head_dim, tokens, tokens, kv}, {}});
      }
      for (const std::size_t depth : {512u, 4096u}) {
        shapes.push_back({"single_at_" + std::to_string(depth) + tail, {8, 4, head_dim, 1, depth, kv}, {}});
      }
    }
  }
  return shapes;
}

TuningTable tune(std::vector<TunedShape> shapes, ThreadPool& pool, Run& run) {
  TuningTable table{tuning_key(pool.threads()), std::move(shapes)};
  for (std::size_t i = 0; i < table.shapes.size(); ++i) {
    run.step("tune", i, table.shapes.size());
    time_kernels(table.shapes[i], pool);
  }
  run.step("tune", table.shapes.size(), table.shapes.size());
  return table;
}

std::filesystem::path tuning_path(const TuningKey& key) {
  return cache_folder() / ("tune-" + key.simd + "-" + std::to_string(key.threads) + "-" + key.version + ".json");
}

Json to_json(const TuningTable& table) {
  Json seconds = Json::object();
  for (const TunedShape& place : table.shapes) {
    Json row = Json::object();
    for (const auto& [kernel, time] : place.seconds) row.set(kernel, time);
    seconds.set(place.name, row);
  }
  return Json::object().set("format", format).set("key", to_json(table.key)).set("seconds", seconds);
}

void write_tuning(const TuningTable& table) {
  const std::filesystem::path path = tuning_path(table.key), part = path.string() + "." + std::to_string(getpid());
  std::error_code failure;
  std::filesystem::create_directories(path.parent_path(), failure);
  if (std::ofstream file(part); !(file << to_json(table).dump(1) << "\n" << std::flush)) {
    std::filesystem::remove(part, failure);
    throw Error({part.string(), "a file that can be written", "an error", "set XDG_CACHE_HOME to a folder of yours with room"});
  }
  std::filesystem::rename(part, path, failure);
  if (failure) throw Error({path.string(), "a file that can be written", failure.message(), "set XDG_CACHE_HOME to a folder of yours"});
}

std::optional<TuningTable> read_tuning(const TuningKey& key, std::string& complaint) {
  const std::filesystem::path path = tuning_path(key);
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  const std::string advice = "; it is not used: run `vitrine tune` again";
  try {
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const Json json = parse_json(text, path.string());
    if (json["format"].integer() != format) throw std::logic_error("another format");
    TuningTable table = table_of(json);
    if (table.key == key) return table;
    complaint = path.string() + ": expected times of " + quoted(key.cpu) + ", found those of " + quoted(table.key.cpu) + advice;
  } catch (const std::exception&) {
    complaint = path.string() + ": expected times of kernels, found a damaged file" + advice;
  }
  return std::nullopt;
}

std::string fastest_kernel(const TuningTable& table, const AutoCase& wanted) {
  const auto distance = [&](const TunedShape& place) {
    return std::fabs(std::log(static_cast<double>(place.shape.head_dim) / static_cast<double>(wanted.head_dim)));
  };
  double nearest = 1e9, least = 1e9;
  for (const TunedShape& place : table.shapes) nearest = std::min(nearest, distance(place));
  std::string best;
  for (const AttentionKernel* kernel : auto_kernels(wanted.precision)) {
    double sum = 0.0;
    std::size_t count = 0, missing = 0;
    for (const TunedShape& place : table.shapes) {
      if (place.shape.kv != wanted.kv || distance(place) > nearest) continue;
      const auto found = place.seconds.find(std::string(kernel->name));
      if (found == place.seconds.end()) {
        ++missing;
        continue;
      }
      double fastest = found->second;
      for (const auto& [name, seconds] : place.seconds) fastest = std::min(fastest, seconds);
      sum += std::log(found->second / fastest);
      ++count;
    }
    if (missing > 0 || count == 0 || sum >= least) continue;
    least = sum;
    best = kernel->name;
  }
  return best;
}

TunedChoice choose_tuned_kernel(const std::string& spelled, const AutoCase& wanted, std::size_t threads) {
  TunedChoice result{choose_attention_kernel(spelled, wanted.precision), "", ""};
  if (spelled != "auto") return result;
  const auto table = read_tuning(tuning_key(threads), result.complaint);
  const std::string best = table ? fastest_kernel(*table, wanted) : "";
  result.reason = !best.empty() ? "the fastest one by `vitrine tune`"
                  : !table      ? "the default, no table of `vitrine tune` for this machine"
                                : "the default, the table of `vitrine tune` has no such cache or heads";
  if (!best.empty()) result.choice = choose_attention_kernel(best);
  return result;
}

}  // namespace vitrine
