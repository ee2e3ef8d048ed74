#include "core/decode/said.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption length{.name = "encoder-no-repeat-ngram", .summary = "no run of so many tokens is said that the source has; 0 (default): any", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};

class EncoderNoRepeatNgram : public Sampler {
 public:
  explicit EncoderNoRepeatNgram(std::size_t length) : length_(length) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    const Said said(text), known = Said(source_of(text));
    if (said.size() + 1 < length_) return;
    const std::vector<TokenId> begun = said.last(length_ - 1);
    for (std::size_t end = begun.size(); end < known.size(); ++end) {
      if (known.ends_with(begun, end)) scores[static_cast<std::size_t>(known[end])] = never_chosen;
    }
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<EncoderNoRepeatNgram>(*this); }

 private:
  std::size_t length_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const std::size_t tokens = values.whole(length);
  return tokens == 0 ? nullptr : std::make_unique<EncoderNoRepeatNgram>(tokens);
}

}  // namespace

const SamplerKind& sampler_encoder_no_repeat_ngram() {
  static const SamplerKind kind{"encoder_no_repeat_ngram", "no run of n tokens is said that the source has (the prompt of a model without encoder)", "ParlAI, --beam-context-block-ngram; transformers, encoder_no_repeat_ngram_size", SamplerRole::rule, 31, {length}, make};
  return kind;
}

}  // namespace vitrine
