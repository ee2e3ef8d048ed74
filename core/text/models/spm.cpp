#include <array>
#include <cstdlib>
#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/merge.h"
#include "core/text/vocabulary.h"

// SentencePiece's byte-pair encoding (Kudo & Richardson 2018) as Llama uses it: a space is the character U+2581, the pair whose
// union has the highest score merges first, and a character without a token becomes its bytes.

namespace vitrine {
namespace {

constexpr std::string_view space_mark = "\u2581";

std::size_t character_bytes(unsigned char lead) { return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4; }

/// "<0x41>" -> 'A'
std::optional<unsigned char> byte_of(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(token.c_str() + 3, &end, 16);
  return end == token.c_str() + 5 ? std::optional(static_cast<unsigned char>(value)) : std::nullopt;
}

std::string with_spaces(std::string text) {
  for (std::size_t at; (at = text.find(space_mark)) != std::string::npos;) text.replace(at, space_mark.size(), " ");
  return text;
}

class SpmTokenizer : public VocabularyTokenizer {
 public:
  explicit SpmTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {
    byte_ids_.fill(-1);
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const auto id = static_cast<TokenId>(i);
      if (vocabulary_.kinds[i] == TokenKind::normal || vocabulary_.kinds[i] == TokenKind::user_defined) ids_.emplace(vocabulary_.tokens[i], id);
      if (vocabulary_.kinds[i] != TokenKind::byte) continue;
      const auto byte = byte_of(vocabulary_.tokens[i]);
      if (!byte) throw Error({vocabulary_.where + ": tokenizer", "byte tokens written <0x00>", quoted(vocabulary_.tokens[i]), ""});
      byte_ids_[*byte] = id;
    }
  }

  std::string_view model() const override { return "spm"; }

  std::string piece(TokenId id) const override {
    if (!known(id)) return "";
    if (kind(id) == TokenKind::byte) return std::string(1, static_cast<char>(*byte_of(spelled(id))));
    return with_spaces(spelled(id));
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    bool first = true;  // the space that encode puts before a text is no part of it
    for (const TokenId id : ids) {
      const std::string bytes = piece(id);
      text += first && vocabulary_.space_prefix && bytes.starts_with(" ") ? bytes.substr(1) : bytes;
      first = is_special(id);
    }
    return text;
  }

 private:
  /// A text with its spaces marked, and for each of its bytes the place in the original.
  struct Marked {
    std::string text;
    std::vector<std::size_t> origin;  // one more than bytes
  };

  static Marked mark_spaces(std::string_view text, const WholeTokens::Piece& piece, bool prefix) {
    Marked marked;
    const auto add = [&](std::string_view bytes, std::size_t at) {
      marked.text += bytes;
      marked.origin.insert(marked.origin.end(), bytes.size(), at);
    };
    if (prefix) add(space_mark, piece.begin);
    for (std::size_t at = piece.begin; at < piece.end; ++at) add(text[at] == ' ' ? space_mark : text.substr(at, 1), at);
    marked.origin.push_back(piece.end);
    return marked;
  }

  void encode_plain(std::string_view text, const WholeTokens::Piece& piece, bool opens, std::vector<Token>& tokens) const override {
    const Marked marked = mark_spaces(text, piece, vocabulary_.space_prefix && opens);
    std::vector<MergePart> parts;
    for (std::size_t at = 0; at < marked.text.size();) {
      const std::size_t length = std::min(character_bytes(static_cast<unsigned char>(marked.text[at])), marked.text.size() - at);
      parts.push_back({id_of(marked.text.substr(at, length)), at, at + length});
      at += length;
    }
    chain(parts);
    merge_parts(parts, [&](const MergePart& a, const MergePart& b) -> std::optional<MergeRule> {
      const TokenId both = id_of(marked.text.substr(a.begin, b.end - a.begin));
      if (both < 0) return std::nullopt;
      return MergeRule{vocabulary_.scores[static_cast<std::size_t>(both)], both};
    });
    for (const MergePart& part : parts) {
      if (part.end > part.begin) add_token(marked, part, tokens);
    }
  }

  TokenId id_of(const std::string& text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? -1 : found->second;
  }

  void add_token(const Marked& marked, const MergePart& part, std::vector<Token>& tokens) const {
    // The marked prefix shares its origin with the first byte, so a token's end is the origin of the byte behind it.
    const auto place = [&](std::size_t at) { return marked.origin[at]; };
    if (part.id >= 0) {
      tokens.push_back({part.id, place(part.begin), std::max(place(part.begin), place(part.end))});
      return;
    }
    for (std::size_t at = part.begin; at < part.end; ++at) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(marked.text[at])];
      const TokenId unknown = vocabulary_.special.unk.value_or(-1);
      if (id < 0 && unknown < 0) {
        throw Error({vocabulary_.where + ": tokenizer", "a token for every byte", "none for " + quoted(marked.text.substr(at, 1)), ""});
      }
      tokens.push_back({id >= 0 ? id : unknown, place(at), std::max(place(at), place(at + 1))});
    }
  }

  std::unordered_map<std::string, TokenId> ids_;
  std::array<TokenId, 256> byte_ids_{};
};

}  // namespace

const TokenizerModel& tokenizer_model_spm() {
  static const TokenizerModel model{
      "spm", "SentencePiece byte-pair encoding with byte fallback (Llama 1 and 2, Mistral)",
      [](Vocabulary vocabulary) -> std::unique_ptr<Tokenizer> { return std::make_unique<SpmTokenizer>(std::move(vocabulary)); }};
  return model;
}

}  // namespace vitrine
