#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/decode/strategy.h"
#include "core/model/forward.h"

namespace vitrine {

struct GenerateOptions {
  std::size_t max_tokens = 64;
  SamplingOptions sampling;
  const Strategy* strategy = nullptr;
  std::vector<TokenId> stop;  ///< ends the text; not part of it
  std::optional<TokenId> forced_first{};  ///< the first token that is made
  std::optional<TokenId> forced_last{};   ///< the last of max_tokens
  std::vector<TokenId> suppressed{}, suppressed_first{};  ///< are never made; not as the first
};

/// What a text stands in: keys and values of its own, and of the source under cross attention.
struct TextCaches {
  TextCaches(KvCache& own_text, KvCache* source_text = nullptr) : own(own_text), source(source_text) {}
  KvCache& own;
  KvCache* source;  ///< filled by encode(); null for a model without an encoder
};

struct GeneratedToken {
  TokenId id = 0;
  double log_probability = 0.0;  ///< under the model's own distribution, not the sampled one
};

/// Continues the prompt in its cache until a stop token, max_tokens or the end of the context.
/// @param on_token  called for each token as it comes; may be empty
std::vector<GeneratedToken> generate(const ForwardContext& context, const TextCaches& caches, std::span<const TokenId> prompt,
                                     const GenerateOptions& options,
                                     const std::function<void(const GeneratedToken&)>& on_token);

}  // namespace vitrine
