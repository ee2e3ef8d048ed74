#pragma once

#include <span>

namespace vitrine {

/// ln sum_v exp(row[v]) in double throughout, without overflow: divergences of 1e-13 must not drown in a float exp.
/// @param row  [vocabulary], at least one number
double log_normalizer(std::span<const float> row);

}  // namespace vitrine
