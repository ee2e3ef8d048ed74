#pragma once

#include <span>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// What a model reads of tokens.
inline std::vector<TokenId> ids_of(std::span<const Token> tokens) {
  std::vector<TokenId> ids;
  ids.reserve(tokens.size());
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

}  // namespace vitrine
