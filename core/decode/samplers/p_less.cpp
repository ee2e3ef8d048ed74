#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption on{.name = "p-less", .summary = "tokens at least so likely as two draws are to agree: the sum of all squared probabilities", .kind = OptionKind::flag};

class PLess : public Sampler {
 public:
  void apply(std::span<float> scores, const TextSoFar&) override {
    const float top = highest(scores);
    squares_.assign(scores.begin(), scores.end());
    for (float& score : squares_) score = 2.0f * (score - top);  // exp of it is the weight's square
    const double squares = sum_of_weights(squares_, 0.0f), sum = sum_of_weights(scores, top);
    remove_below(scores, top + std::log(squares / sum));
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<PLess>(); }

 private:
  std::vector<float> squares_;  // [vocabulary] scratch
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) { return values.flag(on) ? std::make_unique<PLess>() : nullptr; }

}  // namespace

const SamplerKind& sampler_p_less() {
  static const SamplerKind kind{"p_less", "tokens at least so likely as two draws are to agree", "Tan et al. 2025, arXiv:2509.23234", SamplerRole::shape, 85, {on}, make};
  return kind;
}

}  // namespace vitrine
