#include "experiments/continuation.h"

namespace vitrine {

ContinuationTokens continuation_tokens(std::span<const Token> tokens, std::size_t border) {
  const auto stands_for_bytes = [](const Token& token) { return token.begin < token.end; };
  ContinuationTokens found{tokens.size(), tokens.size(), false};
  while (found.end > 0 && !stands_for_bytes(tokens[found.end - 1])) --found.end;
  found.begin = found.end;
  for (std::size_t i = 0; i < found.end; ++i) {
    if (!stands_for_bytes(tokens[i]) || tokens[i].end <= border) continue;
    found.begin = i;
    found.straddles = tokens[i].begin < border;
    break;
  }
  return found;
}

}  // namespace vitrine
