#include "bench/measure.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "bench/energy.h"
#include "bench/machine.h"
#include "core/base/stopwatch.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

const EnergyMeter& energy_meter() {
  static const EnergyMeter meter;
  return meter;
}

double seconds_of(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return seconds_since(start);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return values.empty() ? 0.0 : *middle;
}

/// Joules count from construction.
class Columns {
 public:
  Columns(benchmark::State& state, const Work& work) : state_(state), work_(work), before_(energy_meter().read()) {}

  void set() {
    const auto calls = static_cast<double>(state_.iterations());
    const MachinePeak& peak = machine_peak();
    if (const auto joules = energy_meter().joules_since(before_)) state_.counters["joules"] = *joules / calls;
    const double peaks[] = {peak.f32, peak.bf16, peak.int8, 0.0};
    const char* const names[] = {"of_f32_peak", "of_bf16_peak", "of_int8_peak", ""};
    const auto arithmetic = static_cast<std::size_t>(work_.arithmetic);
    rate("FLOP/s", work_.operations * calls);
    if (peaks[arithmetic] > 0.0) rate(names[arithmetic], work_.operations * calls / peaks[arithmetic]);
    rate("bytes/s", (work_.bytes + work_.cached_bytes) * calls);
    rate("of_bandwidth", work_.bytes * calls / peak.read);
    rate("tokens/s", work_.tokens * calls);
    const std::string kernel = work_.kernel.empty() ? "" : " " + work_.kernel;
    state_.SetLabel(simd_in_use() + " " + std::to_string(bench_pool().threads()) +
                    (bench_pool().threads() == 1 ? " thread" : " threads") + kernel);
  }

 private:
  void rate(const char* name, double amount) {
    if (amount > 0.0) state_.counters[name] = benchmark::Counter(amount, benchmark::Counter::kIsRate);
  }
  benchmark::State& state_;
  const Work& work_;
  std::vector<std::uint64_t> before_;
};

}  // namespace

const std::string& energy_absence() { return energy_meter().absence(); }

void measure(benchmark::State& state, const Work& work, const std::function<void()>& call) {
  machine_peak();  // not between the calls
  Columns columns(state, work);
  for (auto _ : state) call();
  columns.set();
}

double measure_beside(benchmark::State& state, const Work& work, const std::function<void()>& call,
                      const std::function<void()>& baseline) {
  machine_peak();
  std::vector<double> calls, baselines;
  Columns columns(state, work);
  for (auto _ : state) {
    baselines.push_back(seconds_of(baseline));
    calls.push_back(seconds_of(call));
    state.SetIterationTime(calls.back());
  }
  columns.set();
  state.counters.erase("joules");  // the baseline's would be among them
  return median(calls) / median(baselines);
}

void measure_told(benchmark::State& state, const Work& work,
                  const std::function<double(std::string& failure)>& seconds) {
  machine_peak();
  Columns columns(state, work);
  for (auto _ : state) {
    std::string failure;
    const double taken = seconds(failure);
    if (taken < 0.0) {
      state.SkipWithError(failure.c_str());
      break;
    }
    state.SetIterationTime(taken);
  }
  if (!state.error_occurred()) columns.set();
}

}  // namespace vitrine
