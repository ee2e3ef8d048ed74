#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption least{.name = "min-tokens", .summary = "no token that ends a text is said before so many others; 0 (default): any time", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};

class MinTokens : public Sampler {
 public:
  MinTokens(std::size_t least, std::span<const TokenId> ends) : least_(least), ends_(ends.begin(), ends.end()) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    if (text.made.size() >= least_) return;
    for (const TokenId id : ends_) scores[static_cast<std::size_t>(id)] = never_chosen;
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<MinTokens>(*this); }

 private:
  std::size_t least_;
  std::vector<TokenId> ends_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  const std::size_t count = values.whole(least);
  return count == 0 ? nullptr : std::make_unique<MinTokens>(count, model.ends);
}

}  // namespace

const SamplerKind& sampler_min_tokens() {
  static const SamplerKind kind{"min_tokens", "no end before a number of tokens", "transformers, min_new_tokens", SamplerRole::rule, 40, {least}, make};
  return kind;
}

}  // namespace vitrine
