#include <algorithm>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption suppressed{.name = "suppress-tokens", .summary = "token ids that are never said: 1,2,3", .kind = OptionKind::text};
const DecodeOption suppressed_first{.name = "suppress-first", .summary = "token ids that are not said first: 1,2,3", .kind = OptionKind::text};

class Suppress : public Sampler {
 public:
  Suppress(std::vector<TokenId> always, std::vector<TokenId> first) : always_(std::move(always)), first_(std::move(first)) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    for (const TokenId id : always_) scores[static_cast<std::size_t>(id)] = never_chosen;
    if (!text.made.empty()) return;
    for (const TokenId id : first_) scores[static_cast<std::size_t>(id)] = never_chosen;
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Suppress>(*this); }

 private:
  std::vector<TokenId> always_, first_;
};

std::vector<TokenId> all_of(const DecodeOption& option, const DecodeValues& values, std::size_t vocabulary) {
  std::vector<TokenId> ids;
  for (const std::string& text : values.texts(option)) std::ranges::copy(token_ids_of(option, text, vocabulary), std::back_inserter(ids));
  return ids;
}

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  std::vector<TokenId> always = all_of(suppressed, values, model.vocabulary), first = all_of(suppressed_first, values, model.vocabulary);
  if (always.empty() && first.empty()) return nullptr;
  return std::make_unique<Suppress>(std::move(always), std::move(first));
}

}  // namespace

const SamplerKind& sampler_suppress() {
  static const SamplerKind kind{"suppress", "tokens that are never said, or not first", "transformers, suppress_tokens and begin_suppress_tokens", SamplerRole::rule, 50, {suppressed, suppressed_first}, make};
  return kind;
}

}  // namespace vitrine
