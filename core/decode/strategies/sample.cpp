#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/decode/strategy.h"

namespace vitrine {
namespace {

/// Temperature first, then the smallest set of most likely tokens whose mass reaches top_p, then one draw from it.
TokenId choose(std::span<const float> logits, const SamplingOptions& options, double random) {
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  const double top = logits[order.front()];
  std::vector<double> weight(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) weight[i] = std::exp((logits[order[i]] - top) / options.temperature);
  const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  double kept = 0.0;
  std::size_t count = 0;
  while (count < weight.size() && (count == 0 || kept < options.top_p * total)) kept += weight[count++];
  double target = random * kept;
  for (std::size_t i = 0; i < count; ++i) {
    if ((target -= weight[i]) < 0.0) return order[i];
  }
  return order[count - 1];
}

}  // namespace

const Strategy& strategy_sample() {
  static const Strategy strategy{"sample", "temperature and nucleus (top-p) sampling",
                                 "Holtzman et al. 2020, arXiv:1904.09751", choose};
  return strategy;
}

}  // namespace vitrine
