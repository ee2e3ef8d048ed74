#include "core/text/vocabulary.h"

#include <algorithm>

namespace vitrine {

const char* const gpt2_split = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

WholeTokens::WholeTokens(const Vocabulary& vocabulary) : by_first_byte_(256) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const TokenKind kind = vocabulary.kinds[i];
    const std::string& text = vocabulary.tokens[i];
    if (text.empty() || (kind != TokenKind::control && kind != TokenKind::user_defined)) continue;
    by_first_byte_[static_cast<unsigned char>(text[0])].push_back({text, static_cast<TokenId>(i), kind == TokenKind::control});
  }
  for (auto& entries : by_first_byte_) {
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.text.size() > b.text.size(); });
  }
}

std::vector<WholeTokens::Piece> WholeTokens::split(std::string_view text, bool special) const {
  std::vector<Piece> pieces;
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto& entries = by_first_byte_[static_cast<unsigned char>(text[at])];
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
      return (special || !entry.control) && text.substr(at).starts_with(entry.text);
    });
    if (found == entries.end()) {
      ++at;
      continue;
    }
    if (at > plain) pieces.push_back({plain, at});
    pieces.push_back({at, at + found->text.size(), found->id});
    plain = at += found->text.size();
  }
  if (plain < text.size()) pieces.push_back({plain, text.size()});
  return pieces;
}

std::vector<Token> VocabularyTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<Token> tokens;
  const auto surround = [&](const std::vector<TokenId>& ids, std::size_t at) {
    for (const TokenId id : ids) {
      if (options.add_special) tokens.push_back({id, at, at});
    }
  };
  surround(vocabulary_.prefix, 0);
  bool opens = true;
  for (const WholeTokens::Piece& piece : whole_.split(text, options.parse_special)) {
    if (piece.token >= 0) {
      tokens.push_back({piece.token, piece.begin, piece.end});
    } else {
      encode_plain(text, piece, opens, tokens);
    }
    opens = piece.token >= 0;
  }
  surround(vocabulary_.suffix, text.size());
  return tokens;
}

}  // namespace vitrine
