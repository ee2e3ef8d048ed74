#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string_view>

#include "core/text/tokenizer.h"

namespace vitrine {

struct SamplingOptions {
  float temperature = 1.0f;
  float top_p = 1.0f;
  std::uint64_t seed = 0;
};

/// Chooses the next token. Extension point: core/decode/strategies/<name>.cpp.
struct Strategy {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  /// @param logits  [vocabulary] of the last position
  /// @param random  uniform number in [0, 1) of this step: a function of seed and step alone
  TokenId (*choose)(std::span<const float> logits, const SamplingOptions& options, double random);
};

std::span<const Strategy* const> all_strategies();

}  // namespace vitrine
