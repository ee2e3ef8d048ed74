#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/decode/said.h"
#include "core/decode/scores.h"
#include "core/text/token_ids.h"

namespace vitrine {
namespace {

const DecodeOption bias{.name = "logit-bias", .summary = "ID=VALUE or TEXT=VALUE: added to the score of a token, of a text of several to the last one's behind the others; -inf: never", .kind = OptionKind::text, .repeated = true};

struct Biased {
  std::vector<TokenId> before;
  TokenId id;
  float bias;
};

[[noreturn]] void refuse(const std::string& word, const std::string& expected) {
  throw Error({"--logit-bias", expected, quoted(word, 60), ""}, Fault::usage);
}

Biased parse(const std::string& word, const SamplerModel& model) {
  const std::size_t equals = word.rfind('=');
  Biased result{{}, 0, 0.0f};
  const char* end = word.data() + word.size();
  const auto [stop, error] = equals == std::string::npos ? std::from_chars_result{end, std::errc::invalid_argument} : std::from_chars(word.data() + equals + 1, end, result.bias);
  if (error != std::errc() || stop != end || std::isnan(result.bias) || result.bias > std::numeric_limits<float>::max()) {
    refuse(word, "ID=VALUE or TEXT=VALUE, the value a number or -inf");
  }
  std::string key = word.substr(0, equals);
  const bool is_id = !key.empty() && std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; });
  if (is_id) {
    result.id = token_ids_of(bias, key, model.vocabulary).front();
    return result;
  }
  if (key.size() >= 2 && key.front() == '"' && key.back() == '"') key = key.substr(1, key.size() - 2);
  if (!model.tokenizer) refuse(word, "ID=VALUE: the model has no tokenizer");
  const auto encoded = [&](std::string_view text) { return ids_of(model.tokenizer->encode(text, {.add_special = false})); };
  result.before = encoded(key);
  // Where the tokenizer puts a space before a text, the one that is said is not the text's second.
  if (key.starts_with(' ')) {
    std::vector<TokenId> without = encoded(std::string_view(key).substr(1));
    if (!without.empty() && without.size() < result.before.size()) result.before = std::move(without);
  }
  if (result.before.empty()) refuse(word, "a text of at least one token");
  result.id = result.before.back();
  result.before.pop_back();
  return result;
}

class LogitBias : public Sampler {
 public:
  explicit LogitBias(std::vector<Biased> biased) : biased_(std::move(biased)) {}
  void apply(std::span<float> scores, const TextSoFar& text) override {
    const Said said(text);
    for (const Biased& one : biased_) {
      if (said.ends_with(one.before)) scores[static_cast<std::size_t>(one.id)] += one.bias;
    }
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<LogitBias>(*this); }

 private:
  std::vector<Biased> biased_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  std::vector<Biased> biased;
  for (const std::string& word : values.texts(bias)) biased.push_back(parse(word, model));
  return biased.empty() ? nullptr : std::make_unique<LogitBias>(std::move(biased));
}

}  // namespace

const SamplerKind& sampler_logit_bias() {
  static const SamplerKind kind{"logit_bias", "a number added to the score of a token, or of a text", "OpenAI API, logit_bias; transformers, sequence_bias", SamplerRole::rule, 10, {bias}, make};
  return kind;
}

}  // namespace vitrine
