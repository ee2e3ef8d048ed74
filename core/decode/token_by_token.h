#pragma once

#include "core/decode/search.h"

namespace vitrine {

enum class TokenChoice { likeliest, drawn };

/// How many rows can share a pass so that none of their numbers depends on how many there are: under fast precision the kernels choose
/// products by that (kernels/ops/products.cpp), under exact precision any number.
std::size_t rows_that_agree(Precision precision);

/// Continues each prompt by one token after another until a token that ends a text, max_tokens or the end of the context. A prompt goes
/// through the model once, whatever number of texts it has; the tokens of texts that run at the same time share passes. A text is the same
/// whatever runs beside it.
std::vector<std::vector<GeneratedText>> continue_texts(std::span<const SearchProblem> problems, TokenChoice choice);

}  // namespace vitrine
