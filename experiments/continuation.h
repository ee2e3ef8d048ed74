#pragma once

#include <cstddef>
#include <span>

#include "core/text/tokenizer.h"

namespace vitrine {

/// The tokens [begin, end) of a text and its continuation, tokenised together, that are the continuation's.
struct ContinuationTokens {
  std::size_t begin = 0, end = 0;
  bool straddles = false;  ///< the first of them stands for bytes of the text too
};

/// A token is the continuation's where it stands for at least one byte behind the border; one that straddles the border
/// counts with the continuation, as the tokens before it cannot tell which of its bytes come. Tokens that the text does not
/// hold (BOS, EOS) belong to neither.
/// @param tokens  of the joined text
/// @param border  bytes of the text before the continuation
ContinuationTokens continuation_tokens(std::span<const Token> tokens, std::size_t border);

}  // namespace vitrine
