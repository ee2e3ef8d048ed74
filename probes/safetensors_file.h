#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace vitrine {

/// Numbers that someone else owns, with their shape.
struct NamedFloats {
  std::vector<std::size_t> shape;
  std::span<const float> numbers;
};

/// f32 tensors as a safetensors file, in the order of their names; under a name of its own first, so that it is there wholly or not at all.
/// @param metadata  texts of `__metadata__`  @throws Error where it cannot be written
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, NamedFloats>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace vitrine
