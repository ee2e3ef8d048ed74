#pragma once

#include <cstddef>
#include <vector>

#include "core/model/spec.h"

namespace vitrine {

/// Cosines and sines of every position up to the largest one seen, times the magnitude, for one set of rope parameters.
class RopeTable {
 public:
  RopeTable(const AttentionSpec& spec, RopeReach reach);
  bool serves(const AttentionSpec& spec, RopeReach reach) const;
  /// Makes rows for positions below `count`.
  void reserve(std::size_t count);
  /// [pairs]
  const float* cosine(std::size_t position) const { return cosines_.data() + position * frequency_.size(); }
  const float* sine(std::size_t position) const { return sines_.data() + position * frequency_.size(); }

 private:
  float theta_, magnitude_;
  std::size_t dim_;
  std::vector<float> factors_, frequency_, cosines_, sines_;
};

}  // namespace vitrine
