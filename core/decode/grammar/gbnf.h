#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/decode/grammar/character_set.h"
#include "core/text/tokenizer.h"

namespace vitrine {

/// A token that a grammar names: `<[1000]>` by its number, `<think>` by its text.
struct NamedToken {
  std::string text;           ///< as written, angles included
  std::optional<TokenId> id;  ///< where the grammar gives it
  bool operator==(const NamedToken&) const = default;
};

inline constexpr std::size_t without_end = SIZE_MAX;

/// One expression of a grammar's text.
struct GrammarExpression {
  enum class Kind { literal, characters, token, other_token, rule, sequence, choice, repetition };
  Kind kind = Kind::sequence;
  std::string literal;                   ///< UTF-8
  CharacterSet characters;
  std::uint32_t index = 0;               ///< of the token or the rule
  std::size_t least = 1, most = 1;       ///< of a repetition; most may be without_end
  std::vector<GrammarExpression> parts;  ///< of a sequence or choice; the one repeated
};

struct GrammarRule {
  std::string name;
  std::size_t line = 0, column = 0;  ///< of its definition; of its first use until it is defined
  std::optional<GrammarExpression> body;
};

/// A grammar as written; every rule is defined, number 0 is the root.
struct GrammarText {
  std::vector<GrammarRule> rules;
  std::vector<NamedToken> tokens;
};

/// Reads llama.cpp's GBNF.
/// @param where  names the file in errors, which add line and column
/// @throws Error
GrammarText parse_gbnf(std::string_view text, const std::string& where, const std::string& root);

/// "file:3:7", what errors of a grammar begin with.
std::string place_in(const std::string& where, std::size_t line, std::size_t column);

}  // namespace vitrine
