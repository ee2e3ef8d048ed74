#include "core/decode/token_counts.h"

namespace vitrine {
namespace {

const DecodeOption strength{.name = "presence-penalty", .summary = "taken from the score of a token that was said; 0 (default): none", .fallback = 0.0};

class PresencePenalty : public Sampler {
 public:
  explicit PresencePenalty(const DecodeValues& values) : strength_(static_cast<float>(values.number(strength))), counts_(values, TokenCounts::Scope::made) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    counts_.each(text, scores.size(), [&](TokenId id, std::uint32_t) {
      float& score = scores[static_cast<std::size_t>(id)];
      score -= strength_;
    });
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<PresencePenalty>(*this); }

 private:
  float strength_;
  TokenCounts counts_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  return values.number(strength) == strength.fallback ? nullptr : std::make_unique<PresencePenalty>(values);
}

}  // namespace

const SamplerKind& sampler_presence_penalty() {
  static const SamplerKind kind{"presence_penalty", "what was said becomes less likely", "OpenAI API, presence_penalty", SamplerRole::penalty, 31, {strength, penalty_window, penalty_scope}, make};
  return kind;
}

}  // namespace vitrine
