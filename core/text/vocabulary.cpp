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

std::vector<Token> surrounded(const Vocabulary& vocabulary, std::vector<Token> tokens, std::size_t text_bytes) {
  std::vector<Token> all;
  for (const TokenId id : vocabulary.prefix) all.push_back({id, 0, 0});
  all.insert(all.end(), tokens.begin(), tokens.end());
  for (const TokenId id : vocabulary.suffix) all.push_back({id, text_bytes, text_bytes});
  return all;
}

}  // namespace vitrine
