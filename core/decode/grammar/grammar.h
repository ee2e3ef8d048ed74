#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/decode/grammar/network.h"

namespace vitrine {

/// A grammar over UTF-8 text, ready to be followed. Immutable and cheap to copy.
class Grammar {
 public:
  /// Reads llama.cpp's GBNF (docs/grammar.md).
  /// @param where  names the file in errors, which add line and column
  /// @throws Error  on what is no grammar, left recursion, a rule that never ends, or absurd sizes
  static Grammar parse(std::string_view text, const std::string& where = "grammar", const std::string& root = "root");

  const std::shared_ptr<const GrammarNetwork>& network() const { return network_; }

 private:
  explicit Grammar(std::shared_ptr<const GrammarNetwork> network) : network_(std::move(network)) {}
  std::shared_ptr<const GrammarNetwork> network_;
};

/// How far a text follows a grammar.
struct GrammarVerdict {
  bool accepted = false;
  std::size_t bytes = 0;   ///< that follow the grammar: where the first refused byte stands, or the text's size
  bool unfinished = false; ///< all bytes follow, but the text must go on
};
GrammarVerdict check_text(const Grammar& grammar, std::string_view text);

/// A grammar known by a word. Extension point: core/decode/grammar/named/<name>.cpp.
struct NamedGrammar {
  std::string_view name;
  std::string_view summary;
  std::string_view text;  ///< GBNF
};
std::span<const NamedGrammar* const> all_named_grammars();
/// @throws Error (usage) that lists the known ones
const NamedGrammar& named_grammar(std::string_view name);

}  // namespace vitrine
