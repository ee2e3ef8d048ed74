#include <algorithm>
#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption cutoff{.name = "eta-cutoff", .summary = "epsilon: tokens of at least the probability min(epsilon, sqrt(epsilon) exp(-entropy)); 0 (default): all", .low = 0.0, .high = 1.0};

/// The less certain the model, the more is kept (Hewitt et al. 2022, section 5.2).
class Eta : public Sampler {
 public:
  explicit Eta(double epsilon) : log_epsilon_(std::log(epsilon)) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    const Distribution all = distribution_of(scores);
    remove_below(scores, all.top + std::log(all.sum) + std::min(log_epsilon_, 0.5 * log_epsilon_ - all.entropy));
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Eta>(*this); }

 private:
  double log_epsilon_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double epsilon = values.number(cutoff);
  return epsilon == 0.0 ? nullptr : std::make_unique<Eta>(epsilon);
}

}  // namespace

const SamplerKind& sampler_eta() {
  static const SamplerKind kind{"eta", "tokens of at least a probability that falls with the entropy", "Hewitt et al. 2022, arXiv:2210.15191", SamplerRole::shape, 80, {cutoff}, make};
  return kind;
}

}  // namespace vitrine
