#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/decode/option.h"
#include "core/model/model.h"

namespace vitrine {

/// How a model wants its texts to begin and end: generation_config.json, else config.json, else a GGUF's keys.
struct GenerationDefaults {
  std::optional<TokenId> start;     ///< what an encoder-decoder's text begins with
  std::vector<TokenId> ends;        ///< end a text
  DecodeValues rules;               ///< of an encoder-decoder: tokens that are forced or never said
  DecodeValues settings;            ///< how texts are to be made, where somebody wants the model's way: "temperature", "num-beams"
  std::vector<std::string> unused;  ///< settings that this program does not follow, "num_beams=4"
};

/// @throws Error naming the key that makes no sense
GenerationDefaults read_generation_defaults(const Model& model);

}  // namespace vitrine
