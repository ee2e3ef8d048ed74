#include <benchmark/benchmark.h>

#include <string>

#include "bench/first_token.h"
#include "bench/loaded_model.h"
#include "bench/measure.h"
#include "bench/suite.h"

namespace vitrine {
namespace {

void open_row(benchmark::State& state, const LoadedModel& loaded) {
  const std::size_t expected = loaded.model.weights.all().size();
  if (load_model(loaded.path).weights.all().size() != expected)
    return state.SkipWithError("other weights than the first time");
  measure(state, {}, [&] { benchmark::DoNotOptimize(load_model(loaded.path)); });
}

void first_token_row(benchmark::State& state, const LoadedModel& loaded) {
  double resident = 0.0;
  measure_told(state, {}, [&](std::string& failure) {
    const FirstToken found = measure_first_token(loaded.path);
    failure = found.failure;
    resident = found.resident_bytes;
    return failure.empty() ? found.seconds : -1.0;
  });
  state.counters["resident_bytes"] = resident;
  state.counters["of_file"] = resident / loaded.file_bytes;
}

void register_rows(const SuiteOptions& options) {
  for (const std::string& path : options.models) {
    const auto loaded = loaded_model(path);
    const std::string name = "load/" + loaded->name + "/";
    benchmark::RegisterBenchmark((name + "open").c_str(),
                                 [loaded](benchmark::State& state) { open_row(state, *loaded); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    if (!loaded->predicts()) continue;
    benchmark::RegisterBenchmark((name + "first_token").c_str(),
                                 [loaded](benchmark::State& state) { first_token_row(state, *loaded); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace

const Suite& suite_load() {
  static const Suite suite{"load", "opening a model, and the first token of a fresh process with its resident memory",
                           register_rows};
  return suite;
}

}  // namespace vitrine
