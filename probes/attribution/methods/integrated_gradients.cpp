#include <algorithm>
#include <numeric>

#include "probes/attribution/path_integral.h"

// Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv:1703.01365): sum over a token's embedding of
//   (x - b) * integral over a from 0 to 1 of d f / d x at b + a (x - b),
// all tokens moving together from the baseline b to the text. Scores add up to f(x) - f(b); what the integral misses is `rest`. The way is
// cut where the integral misses (path_integral.h), or, where `steps` are asked for, Gauss and Legendre's rule of so many points is taken
// over the whole of it, as captum does; real models change within millionths of the way, which 50 or 500 even points do
// not see. Where even the cuts do not (`by_secants`), the rescale rule of deeplift.cpp stands for the piece.

namespace vitrine {
namespace {

/// Whether two versions go the same way through the model, to a number that is linear in the logits.
bool has_secants(const AttributionInput& input) {
  const bool experts = std::ranges::any_of(input.runner.model.spec.blocks, [](const BlockSpec& block) { return block.mlp.experts > 0; });
  const bool chosen_keys = input.runner.kernel.kernel->rule(input.runner.kernel.options).kind == PatternKind::softmax_top_k;
  return input.question.number == AttributedNumber::logit && !experts && !chosen_keys;
}

AttributionResult run(const AttributionInput& input) {
  const AttributionOptions& options = input.options;
  const EmbeddedText text(input);
  const Numbers base = text.baseline();
  const PathIntegral integral = options.steps ? integrate_by_rule(text, base, *options.steps)
                                              : integrate_to(text, base, {options.missing, options.most_gradients, has_secants(input)});
  AttributionResult result{.scores = integral.scores, .value = integral.value, .baseline = integral.baseline, .gradients = integral.gradients, .doubts = integral.doubts, .by_secants = integral.by_secants};
  result.rest = integral.value - integral.baseline - std::accumulate(result.scores.begin(), result.scores.end(), 0.0);
  return result;
}

}  // namespace

const Attribution& attribution_integrated_gradients() {
  static const Attribution method{"integrated_gradients", "derivatives along the way from a baseline; scores add up to the difference",
                                  "Sundararajan et al. 2017, arXiv:1703.01365", "logits or nats", run};
  return method;
}

}  // namespace vitrine
