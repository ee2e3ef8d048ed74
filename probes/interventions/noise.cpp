#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "kernels/pattern/random.h"
#include "probes/intervention.h"

// Activation noise: adds Gaussian numbers of standard deviation sigma, times the row's root mean square where relative=1. The numbers depend
// on the seed, the point, the sequence, the position and the head alone: whatever runs beside a row, it has the same noise.

namespace vitrine {
namespace {

class Noise : public PlacedChange {
 public:
  explicit Noise(const InterventionCall& call)
      : PlacedChange(call.spec, call.place), sigma_(call.number("sigma", -1.0)), relative_(call.number("relative", 0.0) != 0.0), seed_(call.seed) {
    if (!(sigma_ >= 0.0)) throw Error({"--intervene noise", "sigma=... of at least 0", call.values.contains("sigma") ? call.text("sigma") : "none", ""}, Fault::usage);
  }

 private:
  /// Uniform in (0, 1).
  static double uniform(std::uint64_t& state) { return (static_cast<double>(scrambled(state += scramble_step) >> 11) + 0.5) / 9007199254740992.0; }

  void change(const Row& row, std::span<float> values) override {
    double squares = 0.0;
    for (const float value : values) squares += static_cast<double>(value) * value;
    const double scale = sigma_ * (relative_ ? std::sqrt(squares / static_cast<double>(values.size())) : 1.0);
    std::uint64_t state = seed_;
    for (const std::uint64_t part : {static_cast<std::uint64_t>(row.point.site), static_cast<std::uint64_t>(row.point.block + 1), static_cast<std::uint64_t>(row.point.stack) * 4 + static_cast<std::uint64_t>(row.point.role),
                                     std::uint64_t{row.ref.sequence}, std::uint64_t{row.ref.position}, std::uint64_t{row.head}}) {
      state = scrambled(state + scramble_step * (part + 1));
    }
    for (float& value : values) {  // Box & Muller 1958
      const double radius = std::sqrt(-2.0 * std::log(uniform(state)));
      if (!std::isinf(value)) value += static_cast<float>(scale * radius * std::cos(2.0 * std::numbers::pi * uniform(state)));
    }
  }

  double sigma_;
  bool relative_;
  std::uint64_t seed_;
};

}  // namespace

const Intervention& intervention_noise() {
  static constexpr std::string_view keys[] = {"sigma", "relative"};
  static const Intervention intervention{"noise", "Gaussian numbers are added (--seed)", "noise:resid_pre:sigma=0.1,relative=1", "", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Noise>(call); }};
  return intervention;
}

}  // namespace vitrine
