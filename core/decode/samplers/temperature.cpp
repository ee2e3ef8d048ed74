#include <algorithm>
#include <cmath>
#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption temperature{.name = "temperature", .summary = "scores are divided by it; 0 (default) takes the likeliest token", .fallback = 1.0, .low = 0.0};
const DecodeOption range{.name = "temperature-range", .summary = "dynamic temperature: from --temperature less this to --temperature and this, by the entropy; 0 (default): off", .low = 0.0};
const DecodeOption exponent{.name = "temperature-exponent", .summary = "of the entropy's share, for --temperature-range (1)", .fallback = 1.0, .low = 0.0, .low_excluded = true};

class Temperature : public Sampler {
 public:
  Temperature(double temperature, double range, double exponent) : temperature_(temperature), range_(range), exponent_(exponent) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    // From the largest on, which no temperature moves to infinity.
    const float top = highest(scores), divisor = static_cast<float>(range_ > 0.0 ? by_entropy(scores) : temperature_);
    for (float& score : scores) score = (score - top) / divisor;
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Temperature>(*this); }

 private:
  /// From low to high with the entropy's share of its largest value, ln of the number of tokens (koboldcpp's dynamic temperature).
  double by_entropy(std::span<const float> scores) const {
    constexpr double coldest = 1e-3;
    const double low = std::max(coldest, temperature_ - range_), high = temperature_ + range_;
    const std::size_t count = choosable(scores).size();
    const double share = count > 1 ? distribution_of(scores).entropy / std::log(static_cast<double>(count)) : 0.0;
    return low + (high - low) * std::pow(std::clamp(share, 0.0, 1.0), exponent_);
  }

  double temperature_, range_, exponent_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double value = values.number(temperature), spread = values.number(range);
  if (value == 0.0 || (value == 1.0 && spread == 0.0)) return nullptr;  // of 0 nothing is drawn
  return std::make_unique<Temperature>(value, spread, values.number(exponent));
}

}  // namespace

const SamplerKind& sampler_temperature() {
  static const SamplerKind kind{"temperature", "scores divided by a number: below 1 the likely becomes likelier", "Ackley, Hinton, Sejnowski 1985", SamplerRole::shape, 10, {temperature, range, exponent}, make};
  return kind;
}

}  // namespace vitrine
