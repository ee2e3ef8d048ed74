#include <algorithm>

#include "core/decode/strategy.h"

namespace vitrine {

const Strategy& strategy_greedy() {
  static const Strategy strategy{"greedy", "the most likely token; the lowest id of equals", "",
                                 [](std::span<const float> logits, const SamplingOptions&, double) {
                                   return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
                                 }};
  return strategy;
}

}  // namespace vitrine
