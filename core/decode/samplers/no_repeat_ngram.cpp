#include "core/decode/said.h"

namespace vitrine {
namespace {

const DecodeOption length{.name = "no-repeat-ngram", .summary = "no run of so many tokens is said that the text has already; 0 (default): any", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};

class NoRepeatNgram : public Sampler {
 public:
  explicit NoRepeatNgram(std::size_t length) : length_(length) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    const Said said(text);
    forbid_known_runs(scores, said, said, length_);
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<NoRepeatNgram>(*this); }

 private:
  std::size_t length_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const std::size_t tokens = values.whole(length);
  return tokens == 0 ? nullptr : std::make_unique<NoRepeatNgram>(tokens);
}

}  // namespace

const SamplerKind& sampler_no_repeat_ngram() {
  static const SamplerKind kind{"no_repeat_ngram", "no run of n tokens is said twice, the prompt's counting", "Paulus et al. 2018, arXiv:1705.04304; fairseq, no_repeat_ngram_size", SamplerRole::rule, 30, {length}, make};
  return kind;
}

}  // namespace vitrine
