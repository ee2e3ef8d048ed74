#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/decode/scores.h"
#include "core/decode/search.h"

namespace vitrine {

/// Letters: token 0 is "a", 25 is "z", 26 a space, 27 a line break.
class Letters : public Tokenizer {
 public:
  static constexpr std::string_view pieces = "abcdefghijklmnopqrstuvwxyz \n";
  std::string_view model() const override { return "letters"; }
  std::size_t vocabulary_size() const override { return pieces.size(); }
  std::vector<Token> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<Token> tokens;
    for (std::size_t i = 0; i < text.size(); ++i) tokens.push_back({static_cast<TokenId>(pieces.find(text[i])), i, i + 1});
    return tokens;
  }
  std::vector<Token> encode_pair(std::string_view first, std::string_view, const EncodeOptions& options) const override { return encode(first, options); }
  std::string piece(TokenId id) const override { return std::string(pieces.substr(static_cast<std::size_t>(id), 1)); }
  bool is_special(TokenId) const override { return false; }
  const SpecialTokens& special() const override { return special_; }
  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text += piece(id);
    return text;
  }
  std::string_view chat_template() const override { return ""; }

 private:
  SpecialTokens special_;
};

/// What a text is and what samplers are to do with the next token of it.
struct Step {
  std::vector<TokenId> prompt{}, made{}, source{}, ends{};
  Draws draws{};
  std::size_t max_tokens = 0;
};

/// "top-k=3" and so on, each once, but for texts that may be said several times.
inline DecodeValues values_of(const std::vector<std::string>& words) {
  DecodeValues values;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    const DecodeOption* option = find_decode_option(word.substr(0, equals));
    if (!option) throw std::logic_error(word);
    const std::string value = equals == std::string::npos ? "1" : word.substr(equals + 1);
    if (option->kind != OptionKind::text) {
      values.set_word(*option, value);
      continue;
    }
    std::vector<std::string> texts(values.texts(*option).begin(), values.texts(*option).end());
    texts.push_back(value);
    values.set(*option, texts);
  }
  return values;
}

/// The chain that options make, in the default order.
inline SamplerChain chain_of(const std::vector<std::string>& words, std::size_t vocabulary, const Step& step = {}) {
  static const Letters letters;
  return make_chain(sampler_order(""), values_of(words), {vocabulary, &letters, step.ends, step.max_tokens});
}

inline std::vector<float> scores_after(const std::vector<std::string>& words, std::vector<float> scores, const Step& step = {}) {
  chain_of(words, scores.size(), step).apply(scores, {step.prompt, step.source, step.made, step.draws});
  return scores;
}

inline std::vector<float> logs_of(const std::vector<double>& probabilities) {
  std::vector<float> scores;
  for (const double p : probabilities) scores.push_back(static_cast<float>(std::log(p)));
  return scores;
}

inline std::vector<double> probabilities_of(const std::vector<float>& scores) {
  const Distribution all = distribution_of(scores);
  std::vector<double> result;
  for (const float score : scores) result.push_back(std::exp(static_cast<double>(score) - all.top) / all.sum);
  return result;
}

/// Probabilities that samplers make of others.
inline std::vector<double> after(const std::vector<std::string>& words, const std::vector<double>& probabilities, const Step& step = {}) {
  return probabilities_of(scores_after(words, logs_of(probabilities), step));
}

}  // namespace vitrine
