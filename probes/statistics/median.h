#pragma once

#include <vector>

namespace vitrine {

/// The middle value; of an even number of values the mean of the two in the middle, of none NaN.
double median(std::vector<double> values);

}  // namespace vitrine
