#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption sigmas{.name = "top-n-sigma", .summary = "tokens whose score is at most so many standard deviations of all scores below the largest; 0 (default): all", .low = 0.0};

class TopNSigma : public Sampler {
 public:
  explicit TopNSigma(double sigmas) : sigmas_(sigmas) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    const float top = highest(scores);
    double count = 0.0, sum = 0.0, squares = 0.0;
    for (const float score : scores) {
      const bool there = score > never_chosen;
      const double distance = there ? score - top : 0.0;
      count += there ? 1.0 : 0.0;
      sum += distance;
      squares += distance * distance;
    }
    const double mean = sum / count, variance = std::max(0.0, squares / count - mean * mean);
    remove_below(scores, top - sigmas_ * std::sqrt(variance));
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<TopNSigma>(*this); }

 private:
  double sigmas_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double number = values.number(sigmas);
  return number == 0.0 ? nullptr : std::make_unique<TopNSigma>(number);
}

}  // namespace

const SamplerKind& sampler_top_n_sigma() {
  static const SamplerKind kind{"top_n_sigma", "tokens whose score is near the largest, by standard deviations of all scores", "Tang et al. 2024, arXiv:2411.07641", SamplerRole::shape, 20, {sigmas}, make};
  return kind;
}

}  // namespace vitrine
