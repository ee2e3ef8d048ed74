#pragma once

#include <string>
#include <vector>

#include "core/base/run.h"
#include "core/base/thread_pool.h"
#include "probes/recording.h"
#include "probes/statistics/estimate.h"

namespace vitrine {

/// How far one head's attention in a recording is from the same head's in another.
struct HeadDrift {
  std::string module;
  std::size_t place = 0;  ///< of the module in the variant's modules()
  std::size_t block = 0, head = 0;
  Estimate divergence;    ///< mean Jensen-Shannon divergence of rows, bits
};

/// Rows that see fewer than 8 keys are left out; of longer texts every n-th row is looked at, at most `most_rows` of each. The interval
/// resamples texts; of a single text, stretches of 32 of these rows: it says nothing about other texts then.
/// @throws Error where the recordings are not of the same tokens, or have no module and heads in common; Cancelled
std::vector<HeadDrift> head_drift(const Recording& reference, const Recording& variant, ThreadPool& pool, Run& run, std::size_t most_rows = 256);

/// Why the maps of two recordings cannot be compared; empty where they can.
std::string why_not_comparable(const Recording& reference, const Recording& variant);

}  // namespace vitrine
