#pragma once

#include <filesystem>

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// How large the inputs of each block matrix's columns are, as llama.cpp's llama-imatrix wrote it of the same GGUF (two tensors a matrix, of as
/// many rows as it has experts: NAME.in_sum2, sums of squares, and NAME.counts). Matrices that the file does not know, and experts that no
/// token came to, are not in the result.
/// @param model  from a GGUF, whose names the file has
/// @throws Error where the file is of another kind or model
StatisticsOf read_importance(const std::filesystem::path& path, const Model& model);

}  // namespace vitrine
