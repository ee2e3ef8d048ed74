#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace vitrine {

/// Directions in the residual stream, one a block, as llama.cpp's control vectors: GGUF with general.architecture "controlvector",
/// controlvector.model_hint, controlvector.layer_count and f32 tensors direction.<i>, each added (times a strength) to what block i hands
/// on, blocks.<i>.hook_resid_post. llama.cpp knows no direction.0 (llama.h, llama_set_adapter_cvec: layers from 1).
struct ControlVector {
  std::string model_hint;  ///< the architecture they were made for ("llama"), or empty
  std::map<std::size_t, std::vector<float>> directions;  ///< by block, [width] each
};

/// @throws Error where the file is no control vector, or a direction's length differs from the others'
ControlVector read_control_vector(const std::filesystem::path& path);

/// Under a name of its own first, so that a file is there wholly or not at all.
/// @throws Error where it cannot be written, or there is a direction of block 0 or none at all
void write_control_vector(const ControlVector& vector, const std::filesystem::path& path);

}  // namespace vitrine
