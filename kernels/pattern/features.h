#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/model/attention.h"

namespace vitrine {

/// How many features a vector of `head_dim` numbers has under the rule.
std::size_t feature_count(const PatternRule& rule, std::size_t head_dim);

/// Numbers of the random directions: features * head_dim for FAVOR+, none else.
std::size_t direction_numbers(const PatternRule& rule, std::size_t head_dim);

/// Random directions for FAVOR+: blocks of orthogonal rows, each as long as a row of independent normal numbers would be
/// (Choromanski et al. 2021, section 2.4). The same for the same rule, on every machine.
/// @param directions  [features, head_dim]
void make_directions(const PatternRule& rule, std::size_t head_dim, std::span<float> directions);

/// The features of one vector, all positive. FAVOR+ splits the score's scale evenly between query and key, so that
/// sum_m phi(q)_m phi(k)_m has the mean exp(scale q k); its features are made as they are, without a common factor taken out.
/// @param directions  as make_directions makes them
/// @param out         [feature_count]
struct FeatureInput {
  const PatternRule& rule;
  float scale;
  std::span<const float> directions;
};
void features_of(const FeatureInput& input, std::span<const float> x, float* out);

}  // namespace vitrine
