#pragma once

#include <span>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {

/// The prompt and what was made behind it, as one run of tokens.
class Said {
 public:
  explicit Said(const TextSoFar& text) : prompt_(text.prompt), made_(text.made) {}
  explicit Said(std::span<const TokenId> ids) : prompt_(ids) {}
  std::size_t size() const { return prompt_.size() + made_.size(); }
  TokenId operator[](std::size_t i) const { return i < prompt_.size() ? prompt_[i] : made_[i - prompt_.size()]; }
  /// Whether the tokens before `end` are these.
  bool ends_with(std::span<const TokenId> ids, std::size_t end) const {
    if (ids.size() > end) return false;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if ((*this)[end - ids.size() + i] != ids[i]) return false;
    }
    return true;
  }
  bool ends_with(std::span<const TokenId> ids) const { return ends_with(ids, size()); }
  std::vector<TokenId> last(std::size_t count) const {
    std::vector<TokenId> ids;
    for (std::size_t i = size() - count; i < size(); ++i) ids.push_back((*this)[i]);
    return ids;
  }

 private:
  std::span<const TokenId> prompt_, made_;
};

/// No token that would end a run of `length` tokens which `known` has. @param said  the text that the run would end
inline void forbid_known_runs(std::span<float> scores, const Said& said, const Said& known, std::size_t length) {
  if (said.size() + 1 < length) return;
  const std::vector<TokenId> begun = said.last(length - 1);
  for (std::size_t end = begun.size(); end < known.size(); ++end) {
    if (known.ends_with(begun, end)) scores[static_cast<std::size_t>(known[end])] = never_chosen;
  }
}

/// What an encoder read; of a model without one, the prompt.
inline std::span<const TokenId> source_of(const TextSoFar& text) { return text.source.empty() ? text.prompt : text.source; }

}  // namespace vitrine
