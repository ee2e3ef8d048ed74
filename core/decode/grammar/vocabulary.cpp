#include "core/decode/grammar/vocabulary.h"

#include <algorithm>
#include <numeric>

namespace vitrine {

GrammarVocabulary::GrammarVocabulary(const Tokenizer& tokenizer) : ends_(text_ends(tokenizer)) {
  pieces_.resize(tokenizer.vocabulary_size());
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!tokenizer.is_special(id) && !ends_text(id)) pieces_[i] = tokenizer.piece(id);
    longest_ = std::max(longest_, pieces_[i].size());
  }
  grow_tree();
}

bool GrammarVocabulary::ends_text(TokenId id) const { return std::ranges::find(ends_, id) != ends_.end(); }

void GrammarVocabulary::grow_tree() {
  std::vector<TokenId> order;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (!pieces_[i].empty() && pieces_[i].size() <= UINT16_MAX) order.push_back(static_cast<TokenId>(i));
  }
  std::ranges::stable_sort(order, [&](TokenId a, TokenId b) { return piece(a) < piece(b); });
  std::vector<std::uint32_t> path;  // nodes from the first byte down to the last token's end
  const auto leave = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) tree_[path.back()].behind = static_cast<std::uint32_t>(tree_.size());
  };
  for (const TokenId id : order) {
    const std::string& bytes = piece(id);
    std::size_t common = 0;
    while (common < path.size() && common < bytes.size() && tree_[path[common]].byte == static_cast<std::uint8_t>(bytes[common])) ++common;
    leave(common);
    for (std::size_t at = common; at < bytes.size(); ++at) {
      Node node;
      node.byte = static_cast<std::uint8_t>(bytes[at]);
      node.depth = static_cast<std::uint16_t>(at + 1);
      node.tokens = static_cast<std::uint32_t>(tree_tokens_.size());
      node.parent = path.empty() ? UINT32_MAX : path.back();
      path.push_back(static_cast<std::uint32_t>(tree_.size()));
      tree_.push_back(node);
    }
    tree_tokens_.push_back(id);
  }
  leave(0);
  Node last;
  last.tokens = static_cast<std::uint32_t>(tree_tokens_.size());
  tree_.push_back(last);
}

}  // namespace vitrine
