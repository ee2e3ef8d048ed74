#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/tensor/tensor_view.h"

namespace vitrine {

/// Sums over rows of two maps of the same head on the same tokens. Base 2; all in bits.
///
/// D is the mean Jensen-Shannon divergence of the rows (Lin 1991). By its grouping property it is exactly the sum of
/// - the sink shift: divergence over the sink keys, each alone, and all other keys taken as one;
/// - the content part: (share of content) x (divergence inside the content, mixed as the two maps hold it).
/// Content drift is the content part divided by that share: a head that puts 95% on a sink and moves everything else has
/// D = 0.05 bit and a content drift of 1 bit.
struct AttentionDrift {
  double rows = 0.0;
  double total = 0.0;          ///< sum of D
  double sink_shift = 0.0;
  double content_part = 0.0;
  double content_share = 0.0;  ///< sum of the mean weight on content

  double mean() const { return rows > 0.0 ? total / rows : 0.0; }
  double mean_sink_shift() const { return rows > 0.0 ? sink_shift / rows : 0.0; }
  double content_drift() const { return content_share > 0.0 ? content_part / content_share : 0.0; }
};

constexpr std::size_t fewest_visible_keys = 8;  ///< rows that see fewer do not count

/// Keys on which the reference's rows put at least 0.3 on average: the first token of most heads, or none.
/// @param reference  [rows, keys]; rows that see fewer than 8 keys are left out
std::vector<bool> sink_keys(TensorView<const float, 2> reference, std::size_t first_row);

/// Adds one row each. @param reference, variant  [keys], sums 1  @param sink  [keys]
void add_row(AttentionDrift& drift, std::span<const float> reference, std::span<const float> variant, const std::vector<bool>& sink);

/// Jensen-Shannon divergence of two distributions in bits.
double jensen_shannon(std::span<const double> p, std::span<const double> q);

}  // namespace vitrine
