#include <numeric>

#include "core/base/error.h"
#include "probes/attribution/attribution.h"

// After DeepLIFT's rescale rule (Shrikumar, Greenside & Kundaje 2017, arXiv:1704.02685), for every operation of a Transformer. The text and
// its baseline run side by side; going back, an operation hands on multipliers m with sum(m_in * dx) == m_out * dy, d being the difference
// between the two runs:
//   activations, caps    m_in = m_out * (f(x) - f(x')) / (x - x')
//   a product a * b      of gates, queries and keys, weights and values: m_a = m_out * (b + b') / 2, m_b likewise
//   a softmax            its Jacobian diag(L) - L L^T / sum(L) at the logarithmic means L of both runs' weights
//   a norm               c * r with c the (centred) row, r = (mean c^2 + epsilon)^-1/2: a product weighed by both rows' mean squares
//                        (core/train/differences.h), with r by its secant in c^2
//   linear maps          as they are
// A token's score is the sum of m * (x - x') over its embedding; scores add up to f(x) - f(x') but for rounding. Where the paper
// has its own rule for products only as an option (RevealCancel), the mean of both orders (Shapley value of two factors) is taken here.

namespace vitrine {
namespace {

AttributionResult run(const AttributionInput& input) {
  if (input.question.number != AttributedNumber::logit) {
    throw Error({"--method deeplift", "a logit or a difference of two", "a log-probability", "use integrated_gradients"}, Fault::usage);
  }
  const EmbeddedText text(input);
  const Numbers base = text.baseline();
  const EmbeddedText::Multipliers multipliers = text.multipliers(text.embeddings(), base);
  AttributionResult result{.scores = products_by_row(multipliers.numbers, text.embeddings(), base), .value = multipliers.from, .baseline = multipliers.to};
  result.rest = multipliers.from - multipliers.to - std::accumulate(result.scores.begin(), result.scores.end(), 0.0);
  return result;
}

}  // namespace

const Attribution& attribution_deeplift() {
  static const Attribution method{"deeplift", "differences to a baseline, shared out operation by operation; scores add up", "after Shrikumar et al. 2017, arXiv:1704.02685",
                                  "logits", run};
  return method;
}

}  // namespace vitrine
