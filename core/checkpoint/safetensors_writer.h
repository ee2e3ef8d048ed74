#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/run.h"
#include "core/checkpoint/tensor_to_write.h"

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

/// The same of any tensors that the format holds (no blocks), in their order, each asked for when its turn comes.
/// @throws Error, Cancelled
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata, Run& run);

/// model.safetensors in `folder`, or shards of at most `most_bytes` (where single tensors allow it) with model.safetensors.index.json.
/// @throws Error, Cancelled
struct ShardRule {
  std::uint64_t most_bytes = 5'000'000'000;
};
void write_safetensors_folder(const std::filesystem::path& folder, std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata,
                              Run& run, const ShardRule& rule = {});

}  // namespace vitrine
