// vitrine-bench [MODEL...] [flags] [Google Benchmark's flags]
#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "bench/compare.h"
#include "bench/first_token.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/suite.h"
#include "core/base/error.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

struct Options {
  SuiteOptions suites;
  std::size_t threads = 0;
  std::string simd = "auto", first_token;
  std::vector<std::string> compare;
  bool requests = false, list_suites = false;
};

void declare(CLI::App& app, Options& options) {
  app.add_option("MODEL", options.suites.models,
                 "models for the suites that need one: GGUF files or Hugging Face folders");
  app.add_option("--threads", options.threads, "default: the cores this process may use")->check(CLI::Range(1, 1024));
  app.add_option("--simd", options.simd, "instruction set; see `vitrine info`");
  app.add_option("--prefill", options.suites.prefill, "lengths of prompts (512)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--depths", options.suites.depths, "tokens before the one that is decoded (512,4096)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--kv", options.suites.kv,
                 "caches for the suite model: f32, f16, int8, int4, the last two also with :hadamard (f16; f32 where precision is exact)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--compare", options.compare,
                 "an older JSON result: the rows that run are compared with it; two: those are compared, nothing runs")
      ->expected(1, 2);
  app.add_flag("--requests", options.requests,
               "read row filters from standard input, one a line, and answer each with JSON");
  app.add_flag("--list-suites", options.list_suites, "what there is to measure");
  app.add_option("--first-token", options.first_token)->group("");  // of the suite `load`, which starts this program
  app.allow_extras();
  app.footer(
      "Also Google Benchmark's flags: --benchmark_filter=REGEX, --benchmark_repetitions=N, --benchmark_out=FILE.json, "
      "...\n"
      "Example:\n  vitrine-bench model.gguf --threads 2 --benchmark_filter=model --benchmark_repetitions=7");
}

/// @throws Error (usage) where a word is neither ours nor Google Benchmark's
void initialize_benchmark(const std::vector<std::string>& words) {
  std::vector<char*> flags{const_cast<char*>("vitrine-bench")};
  for (const std::string& word : words) flags.push_back(const_cast<char*>(word.c_str()));
  flags.push_back(nullptr);
  int count = static_cast<int>(flags.size()) - 1;
  benchmark::Initialize(&count, flags.data());
  if (count > 1)
    throw Error({"flag", "those of --help and Google Benchmark's", quoted(std::string_view(flags[1])), ""},
                Fault::usage);
}

void add_context() {
  char number[32];
  const auto add = [&](const char* name, double value) {
    std::snprintf(number, sizeof number, "%.4g", value);
    if (value > 0.0) benchmark::AddCustomContext(name, number);
  };
  benchmark::AddCustomContext("instruction_set", simd_in_use());
  benchmark::AddCustomContext("worker_threads", std::to_string(bench_pool().threads()));
  add("peak_f32", machine_peak().f32);
  add("peak_bf16", machine_peak().bf16);
  add("peak_int8", machine_peak().int8);
  add("peak_read", machine_peak().read);
  benchmark::AddCustomContext("joules", energy_absence().empty() ? "RAPL, all packages" : energy_absence());
}

/// For programs that alternate between this one and others: it stays, with everything loaded.
void answer_requests() {
  for (std::string filter; std::getline(std::cin, filter);) {
    benchmark::JSONReporter reporter;
    if (benchmark::RunSpecifiedBenchmarks(&reporter, filter) == 0) std::cout << "{}\n";
    std::cout << std::flush;
  }
}

/// The usual table, keeping what it shows.
class KeepingReporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      kept.rows[run.benchmark_name()].push_back(run.GetAdjustedRealTime() /
                                                benchmark::GetTimeUnitMultiplier(run.time_unit));
    }
    ConsoleReporter::ReportRuns(runs);
  }
  BenchResult kept;
};

void run_and_compare(const BenchResult& before) {
  KeepingReporter reporter;
  reporter.kept.machine = bench_machine(simd_in_use(), std::to_string(bench_pool().threads()));
  benchmark::RunSpecifiedBenchmarks(&reporter);
  std::printf("\n%s", comparison(before, reporter.kept).c_str());
}

int run(int count, char** words) {
  CLI::App app("Measures kernels, products, models, recordings. Each row is checked before it is timed.",
               "vitrine-bench");
  Options options;
  declare(app, options);
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const std::string line = quoted(std::string(error.what()), 300);
    throw Error({"command line", "", line.substr(1, line.size() - 2), "see vitrine-bench --help"}, Fault::usage);
  }
  if (options.list_suites) {
    for (const Suite* suite : all_suites())
      std::printf("%-14s %s\n", std::string(suite->name).c_str(), std::string(suite->summary).c_str());
    return 0;
  }
  if (options.compare.size() == 2) {
    std::fputs(comparison(read_bench_result(options.compare[0]), read_bench_result(options.compare[1])).c_str(),
               stdout);
    return 0;
  }
  std::optional<BenchResult> before;
  if (!options.compare.empty()) before = read_bench_result(options.compare[0]);
  choose_simd(options.simd);
  choose_bench_threads(options.threads);
  if (!options.first_token.empty()) {
    print_first_token(options.suites.models.at(0), options.first_token);
    return 0;
  }
  initialize_benchmark(app.remaining());
  for (const Suite* suite : all_suites()) {
    if (suite->name == "machine") suite->register_rows(options.suites);
  }
  for (const Suite* suite : all_suites()) {
    if (suite->name != "machine") suite->register_rows(options.suites);
  }
  add_context();
  if (options.requests) {
    answer_requests();
  } else if (before) {
    run_and_compare(*before);
  } else if (benchmark::RunSpecifiedBenchmarks() == 0) {
    throw Error({"--benchmark_filter", "an expression that fits a row", "none that does", "--list-suites says what there is"}, Fault::usage);
  }
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace vitrine

int main(int count, char** words) {
  try {
    return vitrine::run(count, words);
  } catch (const vitrine::Error& error) {
    std::fprintf(stderr, "vitrine-bench: %s\n", error.what());
    return static_cast<int>(error.fault());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vitrine-bench: %s\n", error.what());
    return 1;
  }
}
