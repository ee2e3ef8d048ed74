#include "probes/statistics/log_normalizer.h"

#include <algorithm>
#include <cmath>

namespace vitrine {

double log_normalizer(std::span<const float> row) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0.0;
  for (const float logit : row) sum += std::exp(logit - top);
  return top + std::log(sum);
}

}  // namespace vitrine
