#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption first{.name = "forced-first", .summary = "the id of the token that is said first", .kind = OptionKind::text};
const DecodeOption last{.name = "forced-last", .summary = "the id of the token that is said last where a text is as long as it may be", .kind = OptionKind::text};

class Forced : public Sampler {
 public:
  Forced(std::optional<TokenId> first, std::optional<TokenId> last, std::size_t most) : first_(first), last_(last), most_(most) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    const std::size_t made = text.made.size();
    const std::optional<TokenId> forced = made + 1 == most_ && last_ ? last_ : made == 0 ? first_ : std::nullopt;
    if (!forced) return;
    std::fill(scores.begin(), scores.end(), never_chosen);
    scores[static_cast<std::size_t>(*forced)] = 0.0f;  // whatever else forbids it
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Forced>(*this); }

 private:
  std::optional<TokenId> first_, last_;
  std::size_t most_;  // tokens of a text
};

std::optional<TokenId> one_of(const DecodeOption& option, const DecodeValues& values, std::size_t vocabulary) {
  if (values.texts(option).empty()) return std::nullopt;
  const std::vector<TokenId> ids = token_ids_of(option, values.texts(option).front(), vocabulary);
  if (ids.size() == 1) return ids.front();
  throw Error({"--" + std::string(option.name), "one token id", std::to_string(ids.size()), ""}, Fault::usage);
}

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  const auto begin = one_of(first, values, model.vocabulary), end = one_of(last, values, model.vocabulary);
  if (!begin && !end) return nullptr;
  return std::make_unique<Forced>(begin, end, model.max_tokens);
}

}  // namespace

const SamplerKind& sampler_forced() {
  static const SamplerKind kind{"forced", "the token that is said first, or last", "transformers, forced_bos_token_id and forced_eos_token_id", SamplerRole::rule, 60, {first, last}, make};
  return kind;
}

}  // namespace vitrine
