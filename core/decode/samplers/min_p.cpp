#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption min_p{.name = "min-p", .summary = "tokens that are at least so likely as this share of the likeliest; 0 (default): all", .low = 0.0, .high = 1.0};

class MinP : public Sampler {
 public:
  explicit MinP(double share) : log_share_(std::log(share)) {}
  void apply(std::span<float> scores, const TextSoFar&) override { remove_below(scores, highest(scores) + log_share_); }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<MinP>(*this); }

 private:
  double log_share_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double share = values.number(min_p);
  return share == 0.0 ? nullptr : std::make_unique<MinP>(share);
}

}  // namespace

const SamplerKind& sampler_min_p() {
  static const SamplerKind kind{"min_p", "tokens at least so likely as a share of the likeliest", "Nguyen et al. 2024, arXiv:2407.01082", SamplerRole::shape, 50, {min_p}, make};
  return kind;
}

}  // namespace vitrine
