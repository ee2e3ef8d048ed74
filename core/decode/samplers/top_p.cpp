#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption top_p{.name = "top-p", .summary = "the likeliest tokens that together have this probability; 1 (default): all", .fallback = 1.0, .low = 0.0, .high = 1.0, .low_excluded = true};

/// The smallest set of likeliest tokens whose mass reaches p, the token that reaches it among them.
class TopP : public Sampler {
 public:
  explicit TopP(double p) : p_(p) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    const float top = highest(scores);
    const double enough = p_ * sum_of_weights(scores, top) * (1.0 - rounding);
    Ranking ranking(scores);
    double mass = 0.0;
    std::size_t count = 0;
    while (mass < enough && ranking.has(count)) mass += std::exp(scores[static_cast<std::size_t>(ranking[count++])] - top);
    ranking.keep_first(count, scores);
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<TopP>(*this); }

 private:
  static constexpr double rounding = 1e-6;  // a mass that is p but for the rounding of the scores is p
  double p_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double p = values.number(top_p);
  return p == 1.0 ? nullptr : std::make_unique<TopP>(p);
}

}  // namespace

const SamplerKind& sampler_top_p() {
  static const SamplerKind kind{"top_p", "the nucleus: the likeliest tokens that together have a probability", "Holtzman et al. 2020, arXiv:1904.09751", SamplerRole::shape, 40, {top_p}, make};
  return kind;
}

}  // namespace vitrine
