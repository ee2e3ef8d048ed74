#include "kernels/ops/rope_table.h"

#include <algorithm>
#include <cmath>

namespace vitrine {

namespace {

const std::vector<float>& factors_of(const AttentionSpec& spec, RopeReach reach) {
  return reach == RopeReach::far ? spec.rope_far_factors : spec.rope_factors;
}

}  // namespace

RopeTable::RopeTable(const AttentionSpec& spec, RopeReach reach)
    : theta_(spec.rope_theta), magnitude_(spec.rope_magnitude), dim_(spec.rope_dim), factors_(factors_of(spec, reach)),
      frequency_(spec.rope_dim / 2) {
  for (std::size_t i = 0; i < frequency_.size(); ++i) {  // Su et al. 2021, arXiv:2104.09864, section 3.2.2
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(dim_);
    frequency_[i] = static_cast<float>(1.0 / std::pow(static_cast<double>(theta_), exponent));
    if (!factors_.empty()) frequency_[i] /= factors_[i];
  }
}

bool RopeTable::serves(const AttentionSpec& spec, RopeReach reach) const {
  return theta_ == spec.rope_theta && magnitude_ == spec.rope_magnitude && dim_ == spec.rope_dim && factors_ == factors_of(spec, reach);
}

void RopeTable::reserve(std::size_t count) {
  const std::size_t pairs = frequency_.size(), old = pairs == 0 ? count : cosines_.size() / pairs;
  if (count <= old) return;
  count = std::max(count, 2 * old);
  cosines_.resize(count * pairs);
  sines_.resize(count * pairs);
  for (std::size_t position = old; position < count; ++position) {
    for (std::size_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(position) * frequency_[i];  // in f32, as published implementations do
      cosines_[position * pairs + i] = std::cos(angle) * magnitude_;
      sines_[position * pairs + i] = std::sin(angle) * magnitude_;
    }
  }
}

}  // namespace vitrine
