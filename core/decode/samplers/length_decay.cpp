#include <cmath>

#include "core/base/error.h"
#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption factor{.name = "length-decay", .summary = "behind --length-decay-start tokens the end becomes likelier: |score| (factor^tokens - 1) is added to it; 1 (default): not", .fallback = 1.0, .low = 0.0, .low_excluded = true};
const DecodeOption start{.name = "length-decay-start", .summary = "the number of tokens from which on --length-decay counts (0)", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};

class LengthDecay : public Sampler {
 public:
  LengthDecay(double factor, std::size_t start, std::span<const TokenId> ends) : factor_(factor), start_(start), ends_(ends.begin(), ends.end()) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    if (text.made.size() <= start_) return;
    const double grown = std::pow(factor_, static_cast<double>(text.made.size() - start_)) - 1.0;
    for (const TokenId id : ends_) {
      float& score = scores[static_cast<std::size_t>(id)];
      if (score == never_chosen) continue;
      score = static_cast<float>(std::min(score + std::abs(score) * grown, static_cast<double>(std::numeric_limits<float>::max())));
    }
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<LengthDecay>(*this); }

 private:
  double factor_;
  std::size_t start_;
  std::vector<TokenId> ends_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  const double value = values.number(factor);
  return value == 1.0 ? nullptr : std::make_unique<LengthDecay>(value, values.whole(start), model.ends);
}

}  // namespace

const SamplerKind& sampler_length_decay() {
  static const SamplerKind kind{"length_decay", "the end becomes likelier with every token", "transformers, exponential_decay_length_penalty", SamplerRole::penalty, 40, {factor, start}, make};
  return kind;
}

}  // namespace vitrine
