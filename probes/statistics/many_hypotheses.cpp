#include "probes/statistics/many_hypotheses.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Items of each cluster, in order of first appearance.
std::vector<std::vector<std::size_t>> members_of(const HypothesisValues& of) {
  const std::size_t items = of.values.extent(0);
  VITRINE_CHECK(of.cluster.empty() || of.cluster.size() == items);
  std::map<std::size_t, std::size_t> place;
  std::vector<std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < items; ++i) {
    const auto [at, fresh] = place.try_emplace(of.cluster.empty() ? i : of.cluster[i], members.size());
    if (fresh) members.emplace_back();
    members[at->second].push_back(i);
  }
  return members;
}

/// Sums of clusters over the root of their squares' sum: [cluster][hypothesis]. A sign flip's statistic is |sum of signs x these|.
std::vector<std::vector<double>> scaled_sums(const HypothesisValues& of) {
  const std::size_t hypotheses = of.values.extent(1);
  std::vector<std::vector<double>> sums;
  std::vector<double> squares(hypotheses, 0.0);
  for (const auto& members : members_of(of)) {
    std::vector<double>& sum = sums.emplace_back(hypotheses, 0.0);
    for (std::size_t h = 0; h < hypotheses; ++h) {
      for (const std::size_t item : members) sum[h] += of.values(item, h);
      squares[h] += sum[h] * sum[h];
    }
  }
  for (auto& sum : sums) {
    for (std::size_t h = 0; h < hypotheses; ++h) sum[h] = squares[h] > 0.0 ? sum[h] / std::sqrt(squares[h]) : 0.0;
  }
  return sums;
}

}  // namespace

StepDown step_down_max_t(const HypothesisValues& of, std::size_t most_flips, std::uint64_t seed) {
  const auto sums = scaled_sums(of);
  const std::size_t hypotheses = of.values.extent(1), clusters = sums.size();
  StepDown result;
  result.all_flips = clusters >= 1 && clusters <= 63 && (std::uint64_t{1} << (clusters - 1)) <= most_flips;
  result.flips = result.all_flips ? std::size_t{1} << (clusters - 1) : most_flips + 1;  // a flip and its opposite are as large
  std::mt19937_64 random(seed);
  std::vector<double> flipped(hypotheses);
  std::vector<std::size_t> order(hypotheses), as_large(hypotheses, 0);
  for (std::size_t flip = 0; flip < result.flips; ++flip) {
    std::ranges::fill(flipped, 0.0);
    for (std::size_t c = 0; c < clusters; ++c) {
      const bool minus = flip > 0 && (result.all_flips ? c > 0 && (flip >> (c - 1) & 1u) != 0 : random() >> 63 != 0);
      for (std::size_t h = 0; h < hypotheses; ++h) flipped[h] += minus ? -sums[c][h] : sums[c][h];
    }
    for (double& value : flipped) value = std::abs(value);
    if (flip == 0) {  // the observed one
      result.statistic = flipped;
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::ranges::stable_sort(order, {}, [&](std::size_t h) { return flipped[h]; });
    }
    double largest = 0.0;
    for (const std::size_t h : order) {  // from the least: the maximum over those that are no larger
      largest = std::max(largest, flipped[h]);
      if (largest >= result.statistic[h] * (1.0 - 1e-12)) ++as_large[h];
    }
  }
  result.p.assign(hypotheses, 1.0);
  double before = 0.0;
  for (auto h = order.rbegin(); h != order.rend(); ++h) {
    before = std::max(before, static_cast<double>(as_large[*h]) / static_cast<double>(result.flips));
    result.p[*h] = before;
  }
  return result;
}

SplitHalf split_half(const HypothesisValues& of, std::size_t splits, std::uint64_t seed) {
  const auto members = members_of(of);
  const std::size_t hypotheses = of.values.extent(1);
  std::vector<std::size_t> order(members.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937_64 random(seed);
  SplitHalf result;
  for (std::size_t split = 0; split < splits; ++split) {
    for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random() % k]);
    std::vector<double> halves[2];
    for (const bool second : {false, true}) {
      std::vector<double>& mean = halves[second ? 1 : 0];
      mean.assign(hypotheses, 0.0);
      double count = 0.0;
      for (std::size_t c = second ? order.size() / 2 : 0; c < (second ? order.size() : order.size() / 2); ++c) {
        for (const std::size_t item : members[order[c]]) {
          for (std::size_t h = 0; h < hypotheses; ++h) mean[h] += of.values(item, h);
          count += 1.0;
        }
      }
      for (double& value : mean) value /= std::max(count, 1.0);
    }
    const double r = correlation(halves[0], halves[1]);
    if (!std::isfinite(r)) continue;
    result.correlation += r;
    ++result.splits;
  }
  result.correlation = result.splits > 0 ? result.correlation / static_cast<double>(result.splits) : nan;
  result.corrected = 2.0 * result.correlation / (1.0 + result.correlation);
  return result;
}

double correlation(std::span<const double> a, std::span<const double> b) {
  VITRINE_CHECK(a.size() == b.size());
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n, mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double aa = 0.0, bb = 0.0, ab = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
    ab += (a[i] - mean_a) * (b[i] - mean_b);
  }
  return aa > 0.0 && bb > 0.0 ? ab / std::sqrt(aa * bb) : nan;
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return nan;
  std::ranges::sort(values);
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const double above = values[std::min(below + 1, values.size() - 1)];
  return values[below] + (place - static_cast<double>(below)) * (above - values[below]);
}

double area_under_curve(std::span<const double> values, const std::vector<bool>& chosen) {
  VITRINE_CHECK(values.size() == chosen.size());
  double wins = 0.0, pairs = 0.0;
  for (std::size_t a = 0; a < values.size(); ++a) {
    for (std::size_t b = 0; b < values.size(); ++b) {
      if (!chosen[a] || chosen[b]) continue;
      pairs += 1.0;
      wins += values[a] > values[b] ? 1.0 : values[a] == values[b] ? 0.5 : 0.0;
    }
  }
  return pairs > 0.0 ? wins / pairs : nan;
}

}  // namespace vitrine
