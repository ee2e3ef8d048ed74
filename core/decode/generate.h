#pragma once

#include <functional>
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
};

struct GeneratedToken {
  TokenId id = 0;
  double log_probability = 0.0;  ///< under the model's own distribution, not the sampled one
};

/// Continues the prompt in `cache` until a stop token, max_tokens or the end of the context.
/// @param on_token  called for each token as it comes; may be empty
std::vector<GeneratedToken> generate(const ForwardContext& context, KvCache& cache, std::span<const TokenId> prompt,
                                     const GenerateOptions& options,
                                     const std::function<void(const GeneratedToken&)>& on_token);

}  // namespace vitrine
