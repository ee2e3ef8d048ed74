#include "probes/attribution/attribution.h"

// Occlusion (Zeiler & Fergus 2014, arXiv:1311.2901): what the number loses when the baseline stands in the place of one token's
// embedding, f(x) - f(x without t). Two tokens of which either would do score little each.

namespace vitrine {
namespace {

AttributionResult run(const AttributionInput& input) {
  const EmbeddedText text(input);
  const EmbeddedText::WithoutEach values = text.without_each(text.baseline());
  AttributionResult result{.scores = {}, .value = values.value};
  for (const double without : values.without) result.scores.push_back(values.value - without);
  return result;
}

}  // namespace

const Attribution& attribution_occlusion() {
  static const Attribution method{"occlusion", "what is lost without one token", "Zeiler & Fergus 2014, arXiv:1311.2901", "logits or nats", run, false};
  return method;
}

}  // namespace vitrine
