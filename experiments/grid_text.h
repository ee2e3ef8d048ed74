#pragma once

#include <filesystem>
#include <string>

#include "probes/analysis.h"

namespace vitrine {

/// A grid as characters for a terminal, for grids of up to 40 columns: rounded numbers in aligned columns. Longer ones name
/// their largest cells alone.
std::string grid_text(const AnalysisGrid& grid);

/// Writes every grid into the folder as <prefix>-<n>.svg (probes/figures), which is made where it is missing. @throws Error
void write_grids(std::span<const AnalysisGrid> grids, const std::filesystem::path& folder, std::string_view prefix);

}  // namespace vitrine
