#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// The tokens of a tokenizer by their bytes, as grammars walk them. Immutable: made once for a tokenizer, shared by threads.
class GrammarVocabulary {
 public:
  explicit GrammarVocabulary(const Tokenizer& tokenizer);

  std::size_t size() const { return pieces_.size(); }
  /// Empty for a token that says nothing of a text: a special one, or one without bytes.
  const std::string& piece(TokenId id) const { return pieces_[static_cast<std::size_t>(id)]; }
  bool ends_text(TokenId id) const;
  std::span<const TokenId> ends() const { return ends_; }

  /// A tree of all pieces: nodes in the order in which a walk meets them, children behind their parent.
  struct Node {
    std::uint8_t byte = 0;
    std::uint16_t depth = 0;         ///< bytes up to this node, 1 for the first
    std::uint32_t behind = 0;        ///< the first node that is not below this one
    std::uint32_t tokens = 0;        ///< first of those that end here, in tree_tokens(); the next node's is the end
    std::uint32_t parent = 0;        ///< UINT32_MAX for the first bytes
  };
  std::span<const Node> tree() const { return {tree_.data(), tree_.size() - 1}; }
  std::span<const TokenId> tokens_at(std::uint32_t node) const {
    return std::span(tree_tokens_).subspan(tree_[node].tokens, tree_[node + 1].tokens - tree_[node].tokens);
  }
  /// All tokens at or below a node.
  std::span<const TokenId> tokens_below(std::uint32_t node) const {
    return std::span(tree_tokens_).subspan(tree_[node].tokens, tree_[tree_[node].behind].tokens - tree_[node].tokens);
  }
  std::size_t longest() const { return longest_; }

 private:
  void grow_tree();

  std::vector<std::string> pieces_;
  std::vector<TokenId> ends_;
  std::vector<Node> tree_;  // and one behind the last
  std::vector<TokenId> tree_tokens_;
  std::size_t longest_ = 0;
};

}  // namespace vitrine
