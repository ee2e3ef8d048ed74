#include "core/decode/token_counts.h"

namespace vitrine {
namespace {

const DecodeOption strength{.name = "repetition-penalty", .summary = "scores of tokens that were said are divided by it, or multiplied where they are below 0; 1 (default): none", .fallback = 1.0, .low = 0.0, .low_excluded = true};

class RepetitionPenalty : public Sampler {
 public:
  explicit RepetitionPenalty(const DecodeValues& values) : strength_(static_cast<float>(values.number(strength))), counts_(values, TokenCounts::Scope::all) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    counts_.each(text, scores.size(), [&](TokenId id, std::uint32_t) {
      float& score = scores[static_cast<std::size_t>(id)];
      score = score < 0.0f ? score * strength_ : score / strength_;
    });
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<RepetitionPenalty>(*this); }

 private:
  float strength_;
  TokenCounts counts_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  return values.number(strength) == strength.fallback ? nullptr : std::make_unique<RepetitionPenalty>(values);
}

}  // namespace

const SamplerKind& sampler_repetition_penalty() {
  static const SamplerKind kind{"repetition_penalty", "what was said becomes less likely by a factor", "Keskar et al. 2019 (CTRL), arXiv:1909.05858", SamplerRole::penalty, 20, {strength, penalty_window, penalty_scope}, make};
  return kind;
}

}  // namespace vitrine
