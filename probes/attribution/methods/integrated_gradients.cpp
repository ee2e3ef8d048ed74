#include <numeric>

#include "probes/attribution/attribution.h"

// Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv:1703.01365): sum over a token's embedding of
//   (x - b) * integral over a from 0 to 1 of d f / d x at b + a (x - b),
// all tokens moving together from the baseline b to the text. Scores add up to f(x) - f(b); what the integral's rule misses is `rest`.
// Gauss-Legendre's rule with `steps` points, as captum.

namespace vitrine {
namespace {

AttributionResult run(const AttributionInput& input) {
  const EmbeddedText text(input);
  const Numbers& x = text.embeddings();
  const Numbers base = text.baseline();
  const std::vector<QuadraturePoint> points = gauss_legendre(input.options.steps);
  std::vector<Numbers> versions;
  for (const QuadraturePoint& point : points) versions.push_back(between(x, base, point.place));
  const EmbeddedText::Slopes slopes = text.slopes(versions);
  const std::vector<double> ends = text.values(std::vector<Numbers>{x, base});
  AttributionResult result{.scores = std::vector<double>(x.rows, 0.0), .value = ends[0], .baseline = ends[1]};
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::vector<double> sums = products_by_row(slopes.gradients[i], x, base);
    for (std::size_t t = 0; t < x.rows; ++t) result.scores[t] += points[i].weight * sums[t];
  }
  result.rest = ends[0] - ends[1] - std::accumulate(result.scores.begin(), result.scores.end(), 0.0);
  return result;
}

}  // namespace

const Attribution& attribution_integrated_gradients() {
  static const Attribution method{"integrated_gradients", "derivatives along the way from a baseline; scores add up to the difference",
                                  "Sundararajan et al. 2017, arXiv:1703.01365", "logits or nats", run};
  return method;
}

}  // namespace vitrine
