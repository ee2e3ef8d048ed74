#include "core/text/added_tokens.h"

#include <algorithm>

#include "core/text/characters.h"

namespace vitrine {

AddedTokens::AddedTokens(const Vocabulary& vocabulary, Where where, std::span<const std::unique_ptr<Normalizer>> normalizers) {
  for (const AddedToken& token : vocabulary.added) {
    if (token.text.empty() || token.normalized != (where == Where::normalized_text)) continue;
    AlignedText text(token.text, 0);
    if (token.normalized) {
      for (const auto& normalizer : normalizers) normalizer->apply(text);
    }
    tokens_.push_back(token);
    spelled_.emplace_back(text.text());
  }
  std::vector<std::pair<std::string_view, std::int32_t>> keys;
  for (std::size_t i = 0; i < spelled_.size(); ++i) {
    if (spelled_[i].empty()) continue;
    first_bytes_[static_cast<unsigned char>(spelled_[i][0])] = true;
    keys.emplace_back(spelled_[i], static_cast<std::int32_t>(i));
  }
  trie_ = Trie(std::move(keys));
}

bool AddedTokens::stands_alone(std::string_view text, TextRange range, const AddedToken& token) const {
  if (!token.single_word) return true;
  std::size_t before = range.begin, behind = range.end;
  if (before > 0 && is_alphanumeric_or_mark(previous_character(text, before))) return false;
  return behind == text.size() || !is_alphanumeric_or_mark(next_character(text, behind));
}

void AddedTokens::split(std::string_view text, const EncodeOptions& options, std::vector<Piece>& pieces) const {
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size() && !tokens_.empty();) {
    if (!first_bytes_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Trie::Match match = trie_.longest(text.substr(at));
    if (match.bytes == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.value)];
    TextRange range{at, at + match.bytes};
    at = range.end;
    if ((token.special && !options.parse_special) || !stands_alone(text, range, token)) continue;
    for (std::size_t left = range.begin; token.takes_left && left > plain && is_white_space(previous_character(text, left));) range.begin = left;
    for (std::size_t right = range.end; token.takes_right && right < text.size() && is_white_space(next_character(text, right));) range.end = right;
    if (token.takes_left && range.begin < plain) {  // what it would take is taken
      range.begin = plain;
      if (range.begin >= range.end) continue;
    }
    if (range.begin > plain) pieces.push_back({{plain, range.begin}});
    // The search goes on behind the token itself, as that of `tokenizers` does: what a token took with it may be a token again.
    pieces.push_back({range, token.id});
    plain = range.end;
  }
  if (plain < text.size()) pieces.push_back({{plain, text.size()}});
}

}  // namespace vitrine
