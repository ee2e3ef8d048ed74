#pragma once

#include <vector>

#include "core/base/run.h"
#include "probes/recording.h"

namespace vitrine {

/// L2 norms of rows of an activation, of which only some exist at once. [rows]
/// @throws Cancelled; Error as Recording::activation
std::vector<double> row_norms(const Recording& recording, const Recording::Dataset& dataset, Recording::Rows rows, const Run& run);

}  // namespace vitrine
