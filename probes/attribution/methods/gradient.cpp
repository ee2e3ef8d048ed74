#include <cmath>

#include "probes/attribution/attribution.h"

// Saliency: the Euclidean norm of the derivative of the number by a token's embedding, || d f / d x_t ||
// (Simonyan, Vedaldi & Zisserman 2014, arXiv:1312.6034; by tokens Li et al. 2016, arXiv:1506.01066). Never negative; it says how fast the
// number changes, not which way.

namespace vitrine {
namespace {

AttributionResult run(const AttributionInput& input) {
  const EmbeddedText text(input);
  const EmbeddedText::Slopes slopes = text.slopes({&text.embeddings(), 1});
  const Numbers& gradient = slopes.gradients.front();
  const Numbers none{gradient.rows, gradient.cols, std::vector<float>(gradient.data.size(), 0.0f)};
  AttributionResult result{.scores = products_by_row(gradient, gradient, none), .value = slopes.values.front()};
  for (double& score : result.scores) score = std::sqrt(score);
  return result;
}

}  // namespace

const Attribution& attribution_gradient() {
  static const Attribution method{"gradient", "norm of the derivative by a token's embedding", "Simonyan et al. 2014, arXiv:1312.6034", "per unit of embedding", run};
  return method;
}

}  // namespace vitrine
