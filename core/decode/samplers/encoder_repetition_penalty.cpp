#include <algorithm>

#include "core/decode/said.h"

namespace vitrine {
namespace {

const DecodeOption strength{.name = "encoder-repetition-penalty", .summary = "scores of tokens of the source (of the prompt, without an encoder) are multiplied by it, or divided where they are below 0; 1 (default): none", .fallback = 1.0, .low = 0.0, .low_excluded = true};

class EncoderRepetitionPenalty : public Sampler {
 public:
  explicit EncoderRepetitionPenalty(float strength) : strength_(strength) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    const std::span<const TokenId> source = source_of(text);
    std::vector<TokenId> ids(source.begin(), source.end());
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const TokenId id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= scores.size()) continue;  // of an encoder with more tokens
      float& score = scores[static_cast<std::size_t>(id)];
      score = score < 0.0f ? score / strength_ : score * strength_;
    }
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<EncoderRepetitionPenalty>(*this); }

 private:
  float strength_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double factor = values.number(strength);
  return factor == 1.0 ? nullptr : std::make_unique<EncoderRepetitionPenalty>(static_cast<float>(factor));
}

}  // namespace

const SamplerKind& sampler_encoder_repetition_penalty() {
  static const SamplerKind kind{"encoder_repetition_penalty", "what the source says becomes likelier by a factor", "transformers, encoder_repetition_penalty", SamplerRole::penalty, 10, {strength}, make};
  return kind;
}

}  // namespace vitrine
