#include "probes/attribution/attribution.h"

// Gradient times input: the sum over a token's embedding of x * d f / d x (Shrikumar et al. 2016, arXiv:1605.01713). What the number
// would lose, were it linear, without the embedding's difference to the baseline: x - baseline stands for x.

namespace vitrine {
namespace {

AttributionResult run(const AttributionInput& input) {
  const EmbeddedText text(input);
  const EmbeddedText::Slopes slopes = text.slopes({&text.embeddings(), 1});
  return {.scores = products_by_row(slopes.gradients.front(), text.embeddings(), text.baseline()), .value = slopes.values.front()};
}

}  // namespace

const Attribution& attribution_gradient_input() {
  static const Attribution method{"gradient_input", "derivative times the embedding", "Shrikumar et al. 2016, arXiv:1605.01713", "logits or nats", run};
  return method;
}

}  // namespace vitrine
