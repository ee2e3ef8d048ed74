#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// What a token stands for (GGUF's numbers).
enum class TokenKind : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// Everything a tokenizer is made of, whatever file it came from. Every id was checked against the number of tokens.
struct Vocabulary {
  std::string where;                ///< names the file in errors
  std::string model;                ///< "bpe" (byte-level), "spm", "wordpiece", or a name this program does not know
  std::vector<std::string> tokens;  ///< as the file spells them; WordPiece: "##" before continuing pieces
  std::vector<TokenKind> kinds;     ///< one a token
  std::vector<float> scores;        ///< spm: one a token, the higher merges first
  std::vector<std::pair<std::string, std::string>> merges;  ///< bpe: in the order in which they were learnt
  std::vector<std::string> splits;  ///< bpe: regular expressions, each cuts what the one before left
  bool ignore_merges = false;       ///< bpe: a piece that is a token as a whole is not merged
  bool space_prefix = false;        ///< spm: a space before the text; bpe: where there is none
  bool lower_case = false, strip_accents = false, split_cjk = true;  ///< wordpiece
  std::vector<TokenId> prefix, suffix;  ///< what encode adds around a text
  SpecialTokens special;
  std::string chat_template;
};

/// @throws Error on a broken file; `model` is empty where the file has no tokenizer
Vocabulary read_gguf_vocabulary(const Json& metadata, const std::string& where);
/// tokenizer.json, or vocab.txt, or vocab.json with merges.txt; tokenizer_config.json beside them.
Vocabulary read_folder_vocabulary(const std::filesystem::path& folder);

/// The expression that cuts a text as GPT-2 does (Radford et al. 2019).
extern const char* const gpt2_split;

/// Tokens that stand for themselves wherever they are written in a text.
class WholeTokens {
 public:
  explicit WholeTokens(const Vocabulary& vocabulary);
  struct Piece {
    std::size_t begin = 0, end = 0;
    TokenId token = -1;  ///< -1: plain text
  };
  /// Cuts a text into whole tokens and what lies between them. User-defined tokens always count, control tokens only
  /// where `special`.
  std::vector<Piece> split(std::string_view text, bool special) const;

 private:
  struct Entry {
    std::string text;
    TokenId id;
    bool control;
  };
  std::vector<std::vector<Entry>> by_first_byte_;  // longest first
};

/// What every tokenizer of a vocabulary does alike: whole tokens first, plain text between them by its own rule, then the
/// vocabulary's prefix and suffix around all.
class VocabularyTokenizer : public Tokenizer {
 public:
  std::size_t vocabulary_size() const override { return vocabulary_.tokens.size(); }
  const SpecialTokens& special() const override { return vocabulary_.special; }
  std::string_view chat_template() const override { return vocabulary_.chat_template; }
  bool is_special(TokenId id) const override { return known(id) && kind(id) == TokenKind::control; }
  std::vector<Token> encode(std::string_view text, const EncodeOptions& options) const override;

 protected:
  explicit VocabularyTokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)), whole_(vocabulary_) {}

  /// Appends the tokens of text[piece.begin, piece.end).
  /// @param opens  nothing stands before the piece, or a whole token does
  virtual void encode_plain(std::string_view text, const WholeTokens::Piece& piece, bool opens, std::vector<Token>& tokens) const = 0;

  bool known(TokenId id) const { return id >= 0 && static_cast<std::size_t>(id) < vocabulary_.tokens.size(); }
  TokenKind kind(TokenId id) const { return vocabulary_.kinds[static_cast<std::size_t>(id)]; }
  const std::string& spelled(TokenId id) const { return vocabulary_.tokens[static_cast<std::size_t>(id)]; }

  Vocabulary vocabulary_;

 private:
  WholeTokens whole_;
};

}  // namespace vitrine
