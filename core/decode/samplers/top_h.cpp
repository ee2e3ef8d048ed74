#include <cmath>

#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption share{.name = "top-h", .summary = "the likeliest tokens that together have this share of the entropy; 1 (default): all", .fallback = 1.0, .low = 0.0, .high = 1.0, .low_excluded = true};

/// As transformers does: entropy is that of the hundred likeliest, and the terms -p log p are added up without dividing by the mass kept.
class TopH : public Sampler {
 public:
  explicit TopH(double share) : share_(share) {}
  void apply(std::span<float> scores, const TextSoFar&) override {
    constexpr std::size_t most = 100;
    Ranking ranking(scores);
    double sum = 0.0, weighted = 0.0;
    std::vector<double> distances;  // from the largest score
    while (distances.size() < most && ranking.has(distances.size())) {
      distances.push_back(scores[static_cast<std::size_t>(ranking[distances.size()])] - static_cast<double>(scores[static_cast<std::size_t>(ranking[0])]));
      sum += std::exp(distances.back());
      weighted += std::exp(distances.back()) * distances.back();
    }
    const double entropy = std::log(sum) - weighted / sum, enough = share_ * entropy * (1.0 + rounding);
    double reached = 0.0;
    std::size_t count = 0;
    for (; count < distances.size(); ++count) {
      reached += std::exp(distances[count]) / sum * (std::log(sum) - distances[count]);
      if (reached > enough) break;
    }
    ranking.keep_first(std::max<std::size_t>(count, 1), scores);
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<TopH>(*this); }

 private:
  static constexpr double rounding = 1e-6;  // an entropy that is the bound but for the rounding of the scores is the bound
  double share_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel&) {
  const double part = values.number(share);
  return values.has(share.name) ? std::make_unique<TopH>(part) : nullptr;
}

}  // namespace

const SamplerKind& sampler_top_h() {
  static const SamplerKind kind{"top_h", "the likeliest tokens that together have a share of the entropy", "Baghaei Potraghloo et al. 2025, arXiv:2509.02510", SamplerRole::shape, 25, {share}, make};
  return kind;
}

}  // namespace vitrine
