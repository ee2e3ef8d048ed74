#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/run.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf_values.h"
#include "core/checkpoint/tensor_to_write.h"

namespace vitrine {

/// The key-value pairs of a GGUF that is to be written, in the order in which they were first set.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  /// Those of a file, every type as it was.
  explicit GgufMetadata(std::span<const MetadataBytes> pairs);

  /// Sets or replaces.
  void set(std::string_view key, const GgufValue& value);
  bool has(std::string_view key) const;
  /// As a reader would see them: one, null where it is not set, or all.
  Json json(std::string_view key) const;
  Json json() const;
  /// Keys with their values' bytes.
  const std::vector<std::pair<std::string, std::vector<std::byte>>>& pairs() const { return pairs_; }

 private:
  using Pair = std::pair<std::string, std::vector<std::byte>>;
  std::vector<Pair> pairs_;
};

/// Writes GGUF 3: header, then tensors one by one in their order, each at a multiple of general.alignment (32 where it is not
/// set). The file appears under its name only when it is whole.
/// @throws Error (full disk, names that the format does not hold, a type that does not divide a row), Cancelled
void write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata, std::span<const TensorToWrite> tensors, Run& run);

}  // namespace vitrine
