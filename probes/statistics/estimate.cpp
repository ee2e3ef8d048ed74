#include "probes/statistics/estimate.h"

#include <algorithm>
#include <array>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t fewest_clusters_for_t = 10;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::array<std::string_view, 6> verdicts{"differs", "equivalent", "trivial", "inconclusive", "not_measurable", "not_comparable"};
constexpr std::array<std::string_view, 3> estimands{"items_of_checkpoint", "seeds_of_recipe", "both"};
constexpr std::array<std::string_view, 3> directions{"higher", "lower", "target"};

/// Sums and sizes of clusters, in order of first appearance.
struct Clusters {
  std::vector<double> sum, size;
};

Clusters clusters_of(std::span<const double> values, std::span<const std::size_t> cluster) {
  Clusters result;
  if (cluster.empty()) return {{values.begin(), values.end()}, std::vector<double>(values.size(), 1.0)};
  std::map<std::size_t, std::size_t> index;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [place, fresh] = index.try_emplace(cluster[i], result.sum.size());
    if (fresh) {
      result.sum.push_back(0.0);
      result.size.push_back(0.0);
    }
    result.sum[place->second] += values[i];
    result.size[place->second] += 1.0;
  }
  return result;
}

struct StandardError {
  double value = 0.0, degrees = 1.0;
};

/// CR2 for a mean: residual sums s_g, V = sum_g s_g^2 / (1 - n_g / n) / n^2. Degrees of freedom (tr M)^2 / tr(M^2), where M
/// is the Gram matrix of Bell & McCaffrey's vectors under independent errors; for a mean tr M = 1 / n.
StandardError cr2(const Clusters& clusters, double mean, double n) {
  double variance = 0.0, squares = 0.0, cross = 0.0, cross_squares = 0.0;
  for (std::size_t g = 0; g < clusters.sum.size(); ++g) {
    const double size = clusters.size[g], residual = clusters.sum[g] - size * mean, leverage = 1.0 - size / n;
    variance += residual * residual / leverage / (n * n);
    const double weight = size * size / leverage / (n * n * n);
    squares += size * size / (n * n * n * n);
    cross += weight;
    cross_squares += weight * weight;
  }
  return {std::sqrt(variance), 1.0 / (n * n) / (squares + cross * cross - cross_squares)};
}

/// Share of all sign flips of the clusters' sums about `mean` whose absolute total is at least the observed one.
double flip_p(const Clusters& clusters, double mean) {
  const std::size_t count = clusters.sum.size();
  std::vector<double> about(count);
  for (std::size_t g = 0; g < count; ++g) about[g] = clusters.sum[g] - clusters.size[g] * mean;
  const double observed = std::abs(std::accumulate(about.begin(), about.end(), 0.0));
  const double slack = 1e-12 * std::accumulate(about.begin(), about.end(), 0.0, [](double sum, double x) { return sum + std::abs(x); });
  std::size_t extreme = 0;
  for (std::size_t flips = 0; flips < (std::size_t{1} << count); ++flips) {
    double total = 0.0;
    for (std::size_t g = 0; g < count; ++g) total += (flips >> g & 1) ? -about[g] : about[g];
    extreme += std::abs(total) >= observed - slack ? 1 : 0;
  }
  return static_cast<double>(extreme) / static_cast<double>(std::size_t{1} << count);
}

/// The farthest mean on one side that the flips do not reject at `alpha`.
double flip_bound(const Clusters& clusters, double center, double alpha, double direction) {
  const double all = std::ldexp(1.0, -static_cast<int>(clusters.sum.size()));
  if (2.0 * all >= alpha) return direction * infinity;  // so few clusters reject nothing
  double step = 1e-9;
  for (std::size_t g = 0; g < clusters.sum.size(); ++g) step = std::max(step, std::abs(clusters.sum[g] / clusters.size[g] - center));
  double inside = center, outside = center + direction * step * 2.0;
  for (int round = 0; round < 60 && flip_p(clusters, outside) >= alpha; ++round) outside = center + (outside - center) * 2.0;
  for (int round = 0; round < 60; ++round) {
    const double middle = (inside + outside) / 2.0;
    (flip_p(clusters, middle) >= alpha ? inside : outside) = middle;
  }
  return inside;
}

void by_permutation(Estimate& estimate, const Clusters& clusters) {
  const double alpha = 1.0 - estimate.level;
  estimate.method = "sign-flip permutation over clusters";
  estimate.low = flip_bound(clusters, estimate.value, alpha, -1.0);
  estimate.high = flip_bound(clusters, estimate.value, alpha, 1.0);
  estimate.inner_low = flip_bound(clusters, estimate.value, 2.0 * alpha, -1.0);
  estimate.inner_high = flip_bound(clusters, estimate.value, 2.0 * alpha, 1.0);
  estimate.p = flip_p(clusters, 0.0);
}

void by_t(Estimate& estimate, const Clusters& clusters) {
  const StandardError error = cr2(clusters, estimate.value, static_cast<double>(estimate.n));
  const boost::math::students_t t(error.degrees);
  const double alpha = 1.0 - estimate.level;
  const double half = error.value * boost::math::quantile(t, 1.0 - alpha / 2.0), inner = error.value * boost::math::quantile(t, 1.0 - alpha);
  estimate.method = "CR2 t";
  estimate.low = estimate.value - half;
  estimate.high = estimate.value + half;
  estimate.inner_low = estimate.value - inner;
  estimate.inner_high = estimate.value + inner;
  if (error.value > 0.0) {
    estimate.p = 2.0 * boost::math::cdf(boost::math::complement(t, std::abs(estimate.value) / error.value));
  } else {
    estimate.p = estimate.value == 0.0 ? 1.0 : 0.0;  // all values are equal
  }
}

template <typename Names>
std::size_t place_of(const Json& json, const char* key, const Names& names, std::string_view where) {
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (json[key].is_string() && json[key].string() == names[i]) return i;
    known += (i > 0 ? ", " : "") + std::string(names[i]);
  }
  throw Error({std::string(where) + ", " + key, known, json[key].is_null() ? "nothing" : quoted(json[key].dump()), ""});
}

/// JSON has no NaN and no infinity: both are written as null. @throws Error where there is something else
double number_or(const Json& json, const char* key, double otherwise, std::string_view where) {
  if (json[key].is_null()) return otherwise;
  if (!json[key].is_number()) throw Error({std::string(where) + ", " + key, "a number or null", quoted(json[key].dump()), ""});
  return json[key].number();
}

std::optional<double> optional_number(const Json& json) {
  return json.is_number() ? std::optional(json.number()) : std::nullopt;
}

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

}  // namespace

std::string_view verdict_name(Verdict verdict) { return verdicts[static_cast<std::size_t>(verdict)]; }

Json to_json(const Estimate& estimate) {
  Json json;
  json.set("name", estimate.name).set("value", estimate.value).set("low", estimate.low).set("high", estimate.high);
  json.set("level", estimate.level).set("inner_low", estimate.inner_low).set("inner_high", estimate.inner_high);
  json.set("unit", estimate.unit).set("direction", directions[static_cast<std::size_t>(estimate.direction)]);
  json.set("estimand", estimands[static_cast<std::size_t>(estimate.estimand)]).set("resampled_unit", estimate.resampled_unit);
  json.set("n", static_cast<std::uint64_t>(estimate.n)).set("clusters", static_cast<std::uint64_t>(estimate.clusters));
  json.set("method", estimate.method).set("null", optional_json(estimate.null_value)).set("p", optional_json(estimate.p));
  json.set("family", estimate.family).set("tier", estimate.tier).set("control", optional_json(estimate.control));
  json.set("margin", optional_json(estimate.margin)).set("verdict", verdict_name(estimate.verdict));
  return json.set("reason", estimate.reason);
}

Estimate estimate_from_json(const Json& json, std::string_view where) {
  if (!json.is_object() || !json["name"].is_string()) throw Error({std::string(where), "an estimate with a name", quoted(json.dump()), ""});
  const auto text = [&](const char* key) { return json[key].is_string() ? json[key].string() : std::string(); };
  const auto number = [&](const char* key, double otherwise) { return number_or(json, key, otherwise, where); };
  const auto count = [&](const char* key) {
    return json[key].is_integer() && json[key].integer() >= 0 ? static_cast<std::size_t>(json[key].integer()) : std::size_t{0};
  };
  Estimate estimate;
  estimate.name = text("name");
  estimate.value = number("value", std::nan(""));
  estimate.low = number("low", -infinity);
  estimate.high = number("high", infinity);
  estimate.level = number("level", 0.95);
  estimate.inner_low = number("inner_low", -infinity);
  estimate.inner_high = number("inner_high", infinity);
  estimate.unit = text("unit");
  estimate.direction = static_cast<Direction>(place_of(json, "direction", directions, where));
  estimate.estimand = static_cast<Estimand>(place_of(json, "estimand", estimands, where));
  estimate.resampled_unit = text("resampled_unit");
  estimate.n = count("n");
  estimate.clusters = count("clusters");
  estimate.method = text("method");
  estimate.null_value = optional_number(json["null"]);
  estimate.p = optional_number(json["p"]);
  estimate.family = text("family");
  estimate.tier = text("tier");
  estimate.control = optional_number(json["control"]);
  estimate.margin = optional_number(json["margin"]);
  estimate.verdict = static_cast<Verdict>(place_of(json, "verdict", verdicts, where));
  estimate.reason = text("reason");
  return estimate;
}

Estimate not_measurable(std::string name, std::string unit, std::string reason) {
  Estimate estimate;
  estimate.name = std::move(name);
  estimate.unit = std::move(unit);
  estimate.value = estimate.low = estimate.high = estimate.inner_low = estimate.inner_high = std::nan("");
  estimate.verdict = Verdict::not_measurable;
  estimate.reason = std::move(reason);
  return estimate;
}

Estimate binomial_share(std::string name, std::size_t k, std::size_t n, double level) {
  VITRINE_CHECK(k <= n && level > 0.5 && level < 1.0);
  if (n == 0) return not_measurable(std::move(name), "share", "no items");
  using boost::math::binomial;
  const auto trials = static_cast<double>(n), successes = static_cast<double>(k);
  const double alpha = 1.0 - level;
  Estimate estimate;
  estimate.name = std::move(name);
  estimate.value = successes / trials;
  estimate.level = level;
  estimate.low = binomial::find_lower_bound_on_p(trials, successes, alpha / 2.0);
  estimate.high = binomial::find_upper_bound_on_p(trials, successes, alpha / 2.0);
  estimate.inner_low = binomial::find_lower_bound_on_p(trials, successes, alpha);
  estimate.inner_high = binomial::find_upper_bound_on_p(trials, successes, alpha);
  estimate.n = n;
  estimate.method = "Clopper-Pearson";
  estimate.unit = "share";
  const binomial fair_coin(trials, 0.5);
  const double below = boost::math::cdf(fair_coin, successes);
  const double above = k == 0 ? 1.0 : boost::math::cdf(boost::math::complement(fair_coin, successes - 1.0));
  estimate.p = std::min(1.0, 2.0 * std::min(below, above));
  estimate.null_value = 0.5;
  return estimate;
}

Estimate clustered_mean(std::string name, std::span<const double> values, std::span<const std::size_t> cluster, double level) {
  VITRINE_CHECK((cluster.empty() || cluster.size() == values.size()) && level > 0.5 && level < 1.0);
  if (values.empty()) return not_measurable(std::move(name), "", "no items");
  const Clusters clusters = clusters_of(values, cluster);
  if (clusters.sum.size() < 2) return not_measurable(std::move(name), "", "one cluster: nothing says how much clusters differ");
  Estimate estimate;
  estimate.name = std::move(name);
  estimate.n = values.size();
  estimate.value = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  estimate.level = level;
  estimate.clusters = cluster.empty() ? 0 : clusters.sum.size();
  estimate.null_value = 0.0;
  clusters.sum.size() < fewest_clusters_for_t ? by_permutation(estimate, clusters) : by_t(estimate, clusters);
  return estimate;
}

Estimate described_mean(DescribedAs as, std::span<const double> values, std::span<const std::size_t> cluster) {
  Estimate estimate = clustered_mean(std::move(as.name), values, cluster);
  estimate.unit = std::move(as.unit);
  estimate.resampled_unit = std::move(as.resampled_unit);
  estimate.null_value.reset();
  estimate.p.reset();
  if (estimate.verdict == Verdict::inconclusive) estimate.reason = "nothing is tested";
  return estimate;
}

void judge(Estimate& estimate, double null_value, std::optional<double> margin) {
  estimate.null_value = null_value;
  estimate.margin = margin;
  if (estimate.verdict == Verdict::not_measurable || estimate.verdict == Verdict::not_comparable) return;
  const bool differs = estimate.low > null_value || estimate.high < null_value;
  const bool inside = margin && estimate.inner_low > null_value - *margin && estimate.inner_high < null_value + *margin;
  estimate.verdict = differs && inside ? Verdict::trivial : differs ? Verdict::differs : inside ? Verdict::equivalent : Verdict::inconclusive;
  if (estimate.verdict != Verdict::inconclusive) return;
  // Half-width times (z_0.975 + z_0.8) / z_0.975: what this many items find in four cases of five.
  const double detectable = (estimate.high - estimate.low) / 2.0 * (1.959964 + 0.841621) / 1.959964;
  char text[96];
  std::snprintf(text, sizeof text, "a change of %.3g would be found in 4 of 5 such runs", detectable);
  estimate.reason = std::isfinite(detectable) ? text : "so few clusters exclude nothing";
}

}  // namespace vitrine
