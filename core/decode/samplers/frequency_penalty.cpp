#include "core/decode/token_counts.h"

namespace vitrine {
namespace {

const DecodeOption strength{.name = "frequency-penalty", .summary = "taken from the score of a token each time that it was said; 0 (default): none", .fallback = 0.0};

class FrequencyPenalty : public Sampler {
 public:
  explicit FrequencyPenalty(const DecodeValues& values) : strength_(static_cast<float>(values.number(strength))), counts_(values, TokenCounts::Scope::made) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    counts_.each(text, scores.size(), [&](TokenId id, std::uint32_t count) {
      float& score = scores[static_cast<std::size_t>(id)];
      score -= strength_ * static_cast<float>(count);
    });
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<FrequencyPenalty>(*this); }

 private:
  float strength_;
  TokenCounts counts_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  return values.number(strength) == strength.fallback ? nullptr : std::make_unique<FrequencyPenalty>(values);
}

}  // namespace

const SamplerKind& sampler_frequency_penalty() {
  static const SamplerKind kind{"frequency_penalty", "what was said becomes less likely, the more often the less", "OpenAI API, frequency_penalty", SamplerRole::penalty, 30, {strength, penalty_window, penalty_scope}, make};
  return kind;
}

}  // namespace vitrine
