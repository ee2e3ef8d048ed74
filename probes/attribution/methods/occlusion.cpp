#include "probes/attribution/attribution.h"

// Occlusion (Zeiler & Fergus 2014, arXiv:1311.2901): what the number loses when the baseline stands in the place of one token's
// embedding, f(x) - f(x without t). Two tokens of which either would do score little each.

namespace vitrine {
namespace {

AttributionResult run(const AttributionInput& input) {
  const EmbeddedText text(input);
  const Numbers& x = text.embeddings();
  const Numbers base = text.baseline();
  std::vector<Numbers> versions{x};
  for (std::size_t t = 0; t < x.rows; ++t) {
    Numbers& version = versions.emplace_back(x);
    std::copy_n(base.data.data() + t * base.cols, base.cols, version.data.data() + t * base.cols);
  }
  const std::vector<double> values = text.values(versions);
  AttributionResult result{.scores = {}, .value = values.front()};
  for (std::size_t t = 0; t < x.rows; ++t) result.scores.push_back(values.front() - values[t + 1]);
  return result;
}

}  // namespace

const Attribution& attribution_occlusion() {
  static const Attribution method{"occlusion", "what is lost without one token", "Zeiler & Fergus 2014, arXiv:1311.2901", "logits or nats", run};
  return method;
}

}  // namespace vitrine
