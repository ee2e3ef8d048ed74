#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/stages.h"
#include "core/text/trie.h"
#include "core/text/vocabulary.h"

namespace vitrine {

/// Finds tokens that stand for themselves: from left to right, the longest at each place.
class AddedTokens {
 public:
  enum class Where { raw_text, normalized_text };
  /// Those that are looked for before or behind the normalizers; the latter are normalized as texts are.
  AddedTokens(const Vocabulary& vocabulary, Where where, std::span<const std::unique_ptr<Normalizer>> normalizers);

  bool empty() const { return tokens_.empty(); }
  struct Piece {
    TextRange range;
    TokenId token = -1;  ///< -1: plain text
  };
  /// Cuts a text into added tokens and what lies between them; special tokens count only where `options` say so.
  void split(std::string_view text, const EncodeOptions& options, std::vector<Piece>& pieces) const;

 private:
  bool stands_alone(std::string_view text, TextRange range, const AddedToken& token) const;

  std::vector<AddedToken> tokens_;
  std::vector<std::string> spelled_;
  bool first_bytes_[256] = {};
  Trie trie_;
};

}  // namespace vitrine
