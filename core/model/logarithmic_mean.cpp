#include <cmath>

#include "core/model/ops.h"

namespace vitrine {

double logarithmic_mean(double log_a, double log_b) {
  if (std::isinf(log_a) || std::isinf(log_b)) return 0.0;
  const double difference = log_a - log_b;
  if (std::abs(difference) > 0.02) return (std::exp(log_a) - std::exp(log_b)) / difference;
  return std::exp((log_a + log_b) / 2) * (1.0 + difference * difference / 24);  // sinh(x) / x, x = difference / 2
}

}  // namespace vitrine
