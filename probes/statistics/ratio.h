#pragma once

#include <span>
#include <string>

#include "probes/statistics/estimate.h"

namespace vitrine {

/// Mean of the numerators over mean of the denominators, items apart: the interval is that of the linearised ratio, whose residuals
/// (numerator - ratio * denominator) / mean denominator are averaged as clustered_mean() does (Cochran 1977, 6.4). It holds where the
/// denominators do not scatter around 0. Nothing is tested.
Estimate ratio_of_means(std::string name, std::span<const double> numerators, std::span<const double> denominators, double level = 0.95);

}  // namespace vitrine
