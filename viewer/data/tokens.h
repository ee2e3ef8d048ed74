#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "viewer/data/document.h"

namespace vitrine {

/// The tokens of one sequence's text, as they are labelled.
struct Tokens {
  std::vector<std::int32_t> ids;
  std::vector<std::string> bytes;   ///< each token's own; empty where the model had no tokenizer
  std::vector<std::string> labels;  ///< token_label(), or "#id"
};
/// Empty where the recording has no such text, or our role does not read it.
Tokens tokens_of(const Document& document, std::size_t sequence, Recording::Side side = Recording::Side::text);

}  // namespace vitrine
