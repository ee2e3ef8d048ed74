#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "core/checkpoint/checkpoint.h"

namespace vitrine {

/// How one kind of weight file lies in a Hugging Face folder: FILE, or shards that FILE.index.json names.
struct WeightFiles {
  std::string_view format;  ///< name in the table of formats
  std::string_view file;    ///< "model.safetensors"
  std::vector<NamedTensor> (*read)(const std::filesystem::path& file);
};

/// Whether a folder has FILE or its index.
bool has_weight_files(const std::filesystem::path& folder, std::string_view file);

/// Opens a folder or a single file, with the config.json that lies there.
/// @throws Error naming a shard that is missing, a tensor that is not where the index says or is there twice
Checkpoint open_weight_files(const WeightFiles& files, const std::filesystem::path& path);

}  // namespace vitrine
