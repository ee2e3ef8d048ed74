#pragma once

#include <string_view>
#include <vector>

#include "core/decode/sampler.h"

namespace vitrine {

/// Which tokens a penalty sees: options that all penalties share.
extern const DecodeOption penalty_window;  ///< "penalty-window"
extern const DecodeOption penalty_scope;   ///< "penalty-scope"

/// How often each token was said so far.
class TokenCounts {
 public:
  enum class Scope { all, made };  ///< with the prompt, or only what was made
  /// @param published  what the penalty's publication says, where the user says nothing
  /// @throws Error (usage) for a scope that is none
  TokenCounts(const DecodeValues& values, Scope published);
  TokenCounts(const TokenCounts& other) : scope_(other.scope_), window_(other.window_) {}

  /// Calls `see(id, count)` once for each token of the vocabulary that was said.
  template <typename See>
  void each(const TextSoFar& text, std::size_t vocabulary, const See& see) {
    count(text, vocabulary);
    for (const TokenId id : said_) see(id, counts_[static_cast<std::size_t>(id)]);
  }

 private:
  void count(const TextSoFar& text, std::size_t vocabulary);
  void add(std::span<const TokenId> ids);

  Scope scope_;
  std::size_t window_;                // tokens; 0: all
  std::vector<std::uint32_t> counts_; // [vocabulary], 0 but for those of said_
  std::vector<TokenId> said_;
};

}  // namespace vitrine
