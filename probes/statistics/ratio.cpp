#include "probes/statistics/ratio.h"

#include <numeric>
#include <vector>

#include "core/base/error.h"

namespace vitrine {

Estimate ratio_of_means(std::string name, std::span<const double> numerators, std::span<const double> denominators, double level) {
  VITRINE_CHECK(numerators.size() == denominators.size());
  const auto n = static_cast<double>(numerators.size());
  const double numerator = std::accumulate(numerators.begin(), numerators.end(), 0.0), denominator = std::accumulate(denominators.begin(), denominators.end(), 0.0);
  if (numerators.empty() || denominator == 0.0) return not_measurable(std::move(name), "", numerators.empty() ? "no items" : "the denominators sum to 0");
  const double ratio = numerator / denominator;
  std::vector<double> residuals(numerators.size());
  for (std::size_t i = 0; i < residuals.size(); ++i) residuals[i] = (numerators[i] - ratio * denominators[i]) / (denominator / n);
  Estimate estimate = clustered_mean(std::move(name), residuals, {}, level);
  if (estimate.verdict == Verdict::not_measurable) {
    estimate.value = ratio;
    return estimate;
  }
  for (double* end : {&estimate.low, &estimate.high, &estimate.inner_low, &estimate.inner_high}) *end += ratio;
  estimate.value = ratio;
  estimate.method = "linearised ratio, " + estimate.method;
  estimate.null_value.reset();
  estimate.p.reset();
  return estimate;
}

}  // namespace vitrine
