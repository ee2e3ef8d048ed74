#include "core/decode/said.h"

namespace vitrine {
namespace {

const DecodeOption length{.name = "encoder-no-repeat-ngram", .summary = "no run of so many tokens is said that the source has; 0 (default): any", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};

class EncoderNoRepeatNgram : public Sampler {
 public:
  explicit EncoderNoRepeatNgram(std::size_t length) : length_(length) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    forbid_known_runs(scores, Said(text), Said(source_of(text)), length_);
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
