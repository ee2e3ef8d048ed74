#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/decode/generate.h"

namespace vitrine {

/// How a model wants its texts to begin and end: generation_config.json, else config.json, else a GGUF's keys.
struct GenerationDefaults {
  std::optional<TokenId> start;         ///< what an encoder-decoder's text begins with
  std::optional<TokenId> forced_first;  ///< the first token that is made
  std::optional<TokenId> forced_last;   ///< the last one where a text is as long as it may be
  std::vector<TokenId> stop;            ///< end a text
  std::vector<TokenId> suppressed;      ///< are never made
  std::vector<TokenId> suppressed_first;
  std::vector<std::string> unused;      ///< settings that this program does not follow, "num_beams=4"
};

/// @throws Error naming the key that makes no sense
GenerationDefaults read_generation_defaults(const Model& model);

/// Options that follow the defaults; strategy and lengths are the caller's.
GenerateOptions following(const GenerationDefaults& defaults);

}  // namespace vitrine
