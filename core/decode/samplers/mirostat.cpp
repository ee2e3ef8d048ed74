#include <cmath>
#include <numbers>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption tau{.name = "mirostat-tau", .summary = "mirostat 2: the surprise in bits that a text shall have on average, about 5; 0 (default): off", .low = 0.0};
const DecodeOption eta{.name = "mirostat-eta", .summary = "how fast mirostat learns (0.1)", .fallback = 0.1, .low = 0.0};

/// Tokens whose surprise is at most mu, which follows the surprise of what was chosen (Basu et al. 2021, algorithm 2).
class Mirostat : public Sampler {
 public:
  Mirostat(double tau, double eta) : tau_(tau), eta_(eta), mu_(2.0 * tau) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    const float top = highest(scores);
    remove_below(scores, top + std::log(sum_of_weights(scores, top)) - mu_ * std::numbers::ln2);
  }
  void chosen(TokenId id, std::span<const float> scores) override {
    const float top = highest(scores);
    const double surprise = (top + std::log(sum_of_weights(scores, top)) - scores[static_cast<std::size_t>(id)]) / std::numbers::ln2;
    mu_ -= eta_ * (surprise - tau_);
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Mirostat>(*this); }

 private:
  double tau_, eta_, mu_;  // bits
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double target = values.number(tau);
  return target == 0.0 ? nullptr : std::make_unique<Mirostat>(target, values.number(eta));
}

}  // namespace

const SamplerKind& sampler_mirostat() {
  static const SamplerKind kind{"mirostat", "keeps the average surprise of a text at a target (version 2)", "Basu et al. 2021, arXiv:2007.14966", SamplerRole::shape, 100, {tau, eta}, make};
  return kind;
}

}  // namespace vitrine
