#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "core/decode/strategy.h"

namespace vitrine {
namespace {

/// The most likely tokens first, as many as are asked for; equals in the order of their numbers. Sorting a whole vocabulary for
/// every token took as long as the model (4.5 ms of 49,152 logits).
class Ranking {
 public:
  explicit Ranking(std::span<const float> logits) : logits_(logits), order_(logits.size()) { std::iota(order_.begin(), order_.end(), 0); }

  TokenId operator[](std::size_t place) {
    while (place >= sorted_) {
      constexpr std::size_t first = 128, growth = 8;
      const std::size_t end = std::min(order_.size(), sorted_ == 0 ? first : sorted_ * growth);
      const auto better = [this](TokenId a, TokenId b) { return value(a) != value(b) ? value(a) > value(b) : a < b; };
      const auto at = [this](std::size_t i) { return order_.begin() + static_cast<std::ptrdiff_t>(i); };
      if (end < order_.size()) std::nth_element(at(sorted_), at(end), order_.end(), better);
      std::sort(at(sorted_), at(end), better);
      sorted_ = end;
    }
    return order_[place];
  }

 private:
  /// What is no number comes last; sorting needs an order.
  float value(TokenId id) const {
    const float logit = logits_[static_cast<std::size_t>(id)];
    return std::isnan(logit) ? -std::numeric_limits<float>::infinity() : logit;
  }

  std::span<const float> logits_;
  std::vector<TokenId> order_;
  std::size_t sorted_ = 0;
};

/// Temperature first, then the smallest set of most likely tokens whose mass reaches top_p, then one draw from it.
TokenId choose(std::span<const float> logits, const SamplingOptions& options, double random) {
  Ranking ranking(logits);
  const double top = logits[ranking[0]];
  const auto weight = [&](float logit) { return std::exp((logit - top) / options.temperature); };
  double total = 0.0;
  for (const float logit : logits) total += weight(logit);
  std::vector<double> kept;
  double mass = 0.0;
  while (kept.size() < logits.size() && (kept.empty() || mass < options.top_p * total)) {
    kept.push_back(weight(logits[ranking[kept.size()]]));
    mass += kept.back();
    if (mass > random * total && options.top_p >= 1.0f) break;  // whatever follows cannot be drawn
  }
  double target = random * (options.top_p >= 1.0f ? total : mass);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if ((target -= kept[i]) < 0.0) return ranking[i];
  }
  return ranking[kept.size() - 1];
}

}  // namespace

const Strategy& strategy_sample() {
  static const Strategy strategy{"sample", "temperature and nucleus (top-p) sampling",
                                 "Holtzman et al. 2020, arXiv:1904.09751", choose};
  return strategy;
}

}  // namespace vitrine
