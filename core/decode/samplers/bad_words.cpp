#include <algorithm>

#include "core/base/error.h"
#include "core/decode/said.h"
#include "core/decode/scores.h"
#include "core/text/token_ids.h"

namespace vitrine {
namespace {

const DecodeOption words{.name = "bad-words", .summary = "a text whose tokens, with and without a space before, are never said one behind the other (other tokens may spell it)", .kind = OptionKind::text, .repeated = true};
const DecodeOption ids_option{.name = "bad-ids", .summary = "token ids that are never said one behind the other: 1,2,3", .kind = OptionKind::text, .repeated = true};

using Ids = std::vector<TokenId>;

Ids encoded(const Tokenizer& tokenizer, const std::string& text) { return ids_of(tokenizer.encode(text, {.add_special = false})); }

class BadWords : public Sampler {
 public:
  explicit BadWords(std::vector<Ids> sequences) : sequences_(std::move(sequences)) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    const Said said(text);
    for (const Ids& ids : sequences_) {
      if (said.ends_with(std::span(ids).first(ids.size() - 1))) scores[static_cast<std::size_t>(ids.back())] = never_chosen;
    }
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<BadWords>(*this); }

 private:
  std::vector<Ids> sequences_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  std::vector<Ids> sequences;
  for (const std::string& text : values.texts(ids_option)) sequences.push_back(token_ids_of(ids_option, text, model.vocabulary));
  for (const std::string& text : values.texts(words)) {
    if (!model.tokenizer) throw Error({"--bad-words", "a model with a tokenizer", "none", "give token ids with --bad-ids"}, Fault::usage);
    if (text.empty()) throw Error({"--bad-words", "a text of at least one token", "an empty one", ""}, Fault::usage);
    sequences.push_back(encoded(*model.tokenizer, text));
    if (!text.starts_with(' ')) sequences.push_back(encoded(*model.tokenizer, " " + text));
    if (sequences.back().empty()) throw Error({"--bad-words", "a text of at least one token", quoted(text, 60), ""}, Fault::usage);
  }
  std::erase_if(sequences, [](const Ids& ids) { return ids.empty(); });
  return sequences.empty() ? nullptr : std::make_unique<BadWords>(std::move(sequences));
}

}  // namespace

const SamplerKind& sampler_bad_words() {
  static const SamplerKind kind{"bad_words", "runs of tokens that are never said", "transformers, bad_words_ids", SamplerRole::rule, 20, {words, ids_option}, make};
  return kind;
}

}  // namespace vitrine
