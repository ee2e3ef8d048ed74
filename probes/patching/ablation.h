#pragma once

#include <cstddef>
#include <vector>

#include "core/model/model_runner.h"

namespace vitrine {

enum class AblationValue { zero, mean };

/// What every head is worth to a text's own tokens.
struct HeadAblation {
  double loss = 0.0;                ///< sum of -ln P of the tokens behind the first, in nats
  std::size_t tokens = 0;           ///< that were counted
  std::size_t layers = 0, heads = 0;
  std::vector<double> ablated;      ///< [layers, heads] the same sum with the head's z ablated in all rows
};

/// Ablates head after head of a causal model with one stack of blocks, running again what lies behind the head alone.
/// @param value  zero, or the mean of the head's z over the rows of the text
/// @throws Error where the model predicts no next tokens or the text has fewer than two; Cancelled
HeadAblation ablate_heads(const ModelRunner& runner, const ModelText& text, AblationValue value);

}  // namespace vitrine
