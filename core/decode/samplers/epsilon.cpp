#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption epsilon{.name = "epsilon-cutoff", .summary = "tokens of at least this probability; 0 (default): all", .low = 0.0, .high = 1.0};

class Epsilon : public Sampler {
 public:
  explicit Epsilon(double least) : log_least_(std::log(least)) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    const float top = highest(scores);
    remove_below(scores, top + std::log(sum_of_weights(scores, top)) + log_least_);
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Epsilon>(*this); }

 private:
  double log_least_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double least = values.number(epsilon);
  return least == 0.0 ? nullptr : std::make_unique<Epsilon>(least);
}

}  // namespace

const SamplerKind& sampler_epsilon() {
  static const SamplerKind kind{"epsilon", "tokens of at least a probability", "Hewitt et al. 2022, arXiv:2210.15191", SamplerRole::shape, 70, {epsilon}, make};
  return kind;
}

}  // namespace vitrine
