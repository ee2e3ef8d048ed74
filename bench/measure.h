#pragma once

#include <functional>
#include <string>

namespace benchmark {
class State;
}

namespace vitrine {

enum class Arithmetic { f32, bf16, int8, mixed };  // mixed: no peak of its own

/// What one call does; what is 0 gets no column.
struct Work {
  double operations = 0.0;                  ///< useful ones
  Arithmetic arithmetic = Arithmetic::f32;  ///< whose peak they are a share of
  double bytes = 0.0;                       ///< that must come from memory
  double cached_bytes = 0.0;                ///< that the caches hold: no share of the memory's bandwidth
  double tokens = 0.0;
  std::string kernel{};  ///< attention kernel, or what else does the work
};

/// Times `call` and sets the row's columns: FLOP/s, bytes/s and tokens/s, the shares of the measured peaks
/// (of_f32_peak, of_bf16_peak, of_int8_peak, of_bandwidth), joules a call where RAPL can be read; the label names
/// instruction set, threads and kernel.
void measure(benchmark::State& state, const Work& work, const std::function<void()>& call);

/// The same for a row with UseManualTime, whose calls alternate with those of a baseline so that both meet the same
/// disturbances. Returns the median time of a call divided by the baseline's.
double measure_beside(benchmark::State& state, const Work& work, const std::function<void()>& call,
                      const std::function<void()>& baseline);

/// As measure(), for calls that say themselves how many seconds they took (UseManualTime); `seconds` below 0 ends the
/// row with what `failure` says.
void measure_told(benchmark::State& state, const Work& work,
                  const std::function<double(std::string& failure)>& seconds);

/// Why joules are missing; empty where they are not.
const std::string& energy_absence();

}  // namespace vitrine
