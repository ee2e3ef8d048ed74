#pragma once

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// Puts a tensor of another type in the place of a matrix, and in that of all weights that were the same bytes (a head that is the table),
/// and tells what changed.
void put_tensor(Model& model, const WeightKey& key, Tensor tensor, ShortcutReport& report);

/// [cols] Mean square of what each column of a matrix was multiplied with; empty without statistics.
std::vector<float> importance_of(const InputStatistics* statistics);

}  // namespace vitrine
