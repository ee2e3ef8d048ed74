#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// A vocabulary that a test writes down: each token is its bytes; of names in angles the text is the name.
class PlainTokenizer : public Tokenizer {
 public:
  explicit PlainTokenizer(std::vector<std::string> pieces, TokenId end = 0) : pieces_(std::move(pieces)) { special_.eos = end; }
  /// Token 0 ends the text, then come the 256 bytes, then `more`.
  static PlainTokenizer of_bytes(const std::vector<std::string>& more = {}) {
    std::vector<std::string> pieces{"<end>"};
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    pieces.insert(pieces.end(), more.begin(), more.end());
    return PlainTokenizer(std::move(pieces));
  }

  std::string_view model() const override { return "plain"; }
  std::size_t vocabulary_size() const override { return pieces_.size(); }
  std::vector<Token> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<Token> tokens;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i] == text) tokens.push_back({static_cast<TokenId>(i), 0, text.size()});
    }
    return tokens;
  }
  std::vector<Token> encode_pair(std::string_view, std::string_view, const EncodeOptions&) const override { return {}; }
  std::string piece(TokenId id) const override { return pieces_[static_cast<std::size_t>(id)]; }
  bool is_special(TokenId id) const override { return piece(id).starts_with('<') && piece(id).ends_with('>'); }
  const SpecialTokens& special() const override { return special_; }
  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text += piece(id);
    return text;
  }
  std::string_view chat_template() const override { return {}; }

 private:
  std::vector<std::string> pieces_;
  SpecialTokens special_;
};

}  // namespace vitrine
