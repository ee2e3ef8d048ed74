#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption probability{.name = "xtc-probability", .summary = "how often the likeliest tokens are left out, all but the last of those above --xtc-threshold; 0 (default): never", .low = 0.0, .high = 1.0};
const DecodeOption threshold{.name = "xtc-threshold", .summary = "the probability from which on a token counts as likely for --xtc-probability (0.1); above 0.5 nothing is left out", .fallback = 0.1, .low = 0.0, .high = 1.0};

constexpr std::uint64_t own_stream = 0x787463;  // of Draws: "xtc"

/// As llama.cpp does: tokens that end a text are not spared.
class Xtc : public Sampler {
 public:
  Xtc(double probability, double threshold) : probability_(probability), threshold_(threshold) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    if (text.draws.number(text.made.size(), own_stream) >= probability_) return;
    const float top = highest(scores);
    const double least = top + std::log(sum_of_weights(scores, top)) + std::log(threshold_);
    float last_likely = never_chosen;
    TokenId kept = -1;  // of equals the one with the highest id, which a ranking puts last
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] < least || (kept >= 0 && scores[i] > last_likely)) continue;
      last_likely = scores[i];
      kept = static_cast<TokenId>(i);
    }
    if (kept < 0) return;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] >= last_likely && static_cast<TokenId>(i) != kept) scores[i] = never_chosen;
    }
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Xtc>(*this); }

 private:
  double probability_, threshold_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double chance = values.number(probability), least = values.number(threshold);
  return chance == 0.0 || least > 0.5 ? nullptr : std::make_unique<Xtc>(chance, least);
}

}  // namespace

const SamplerKind& sampler_xtc() {
  static const SamplerKind kind{"xtc", "now and then leaves out the likeliest tokens, where a likely one remains", "Weidmann 2024, text-generation-webui #6335; llama.cpp", SamplerRole::shape, 90, {probability, threshold}, make};
  return kind;
}

}  // namespace vitrine
