#pragma once

#include "experiments/session.h"

namespace vitrine {

/// How a text is continued.
struct ContinuationRequest {
  std::size_t max_tokens = 64;
  float temperature = 0.0f;  ///< 0: the likeliest token
  float top_p = 1.0f;
  std::uint64_t seed = 0;
};

/// With what the model's files say of making texts, and the tokens that end one.
/// @throws Error (usage) where temperature or top_p are out of their range
GenerateOptions generation_options(const Session& session, const ContinuationRequest& request);

}  // namespace vitrine
