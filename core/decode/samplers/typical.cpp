#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption typical_p{.name = "typical-p", .summary = "tokens whose surprise is nearest to the expected one and that together have this probability; 1 (default): all", .fallback = 1.0, .low = 0.0, .high = 1.0, .low_excluded = true};

class Typical : public Sampler {
 public:
  explicit Typical(double mass) : mass_(mass) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    const Distribution all = distribution_of(scores);
    const double typical = all.top + std::log(all.sum) - all.entropy;  // the score of a token whose surprise is the entropy
    closeness_.resize(scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) closeness_[i] = scores[i] > never_chosen ? -static_cast<float>(std::abs(scores[i] - typical)) : never_chosen;
    Ranking ranking(closeness_);
    const double enough = mass_ * all.sum * (1.0 - rounding);
    double mass = 0.0;
    std::size_t count = 0;
    while (mass < enough && ranking.has(count)) mass += std::exp(scores[static_cast<std::size_t>(ranking[count++])] - all.top);
    const float furthest = closeness_[static_cast<std::size_t>(ranking[count - 1])];
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = closeness_[i] < furthest ? never_chosen : scores[i];  // equals stay, as in transformers
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Typical>(mass_); }

 private:
  static constexpr double rounding = 1e-6;  // a mass that is p but for the rounding of the scores is p
  double mass_;
  std::vector<float> closeness_;  // [vocabulary] scratch
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double mass = values.number(typical_p);
  return mass == 1.0 ? nullptr : std::make_unique<Typical>(mass);
}

}  // namespace

const SamplerKind& sampler_typical() {
  static const SamplerKind kind{"typical", "tokens whose surprise is nearest to the entropy", "Meister et al. 2023, arXiv:2202.00666", SamplerRole::shape, 60, {typical_p}, make};
  return kind;
}

}  // namespace vitrine
