#pragma once

#include <optional>

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// Share of zeros from which the one-row product of a type is faster without them (docs/pruning.md); above 1: never.
double worth_packing(DType type);

/// Gives the block matrices with so many zeros their sparse form in memory (core/tensor/sparse_rows.h). A matrix of which a few rows have
/// fewer zeros is not read further, so that looking costs nothing where there are none.
/// @param least  share of zeros; none: worth_packing() of each type
void pack_sparse(Model& model, ThreadPool& pool, std::optional<double> least, ShortcutReport& report);

}  // namespace vitrine
