#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/tensor/tensor.h"

namespace vitrine {

/// One tensor of a checkpoint under its own name, mapped, not copied. `shape` is the file's, slowest axis first
/// (GGUF's order is reversed when read). `weight` folds it to [rows, cols]: rank 1 is one row, rank > 2 keeps the
/// last axis as cols.
struct NamedTensor {
  std::string name;
  std::vector<std::size_t> shape;
  Weight weight;
  std::string word{};  ///< the file's for its type where that is not the type's name: safetensors' "BOOL" and "U8" are read as I8
};

/// A GGUF's key with its value as the file has it: type, then value (core/checkpoint/gguf_values.h).
struct MetadataBytes {
  std::string key;
  std::span<const std::byte> value;
};

/// An opened checkpoint: what the file says, checked, not yet interpreted. Every length, offset, count, alignment
/// and string was checked against the file's size, and no two tensors overlap.
struct Checkpoint {
  std::string format;            ///< "gguf", "safetensors"
  std::filesystem::path path;    ///< the file or folder the user named
  /// GGUF: its key-value pairs ("general.architecture", ...; arrays as Json arrays). Hugging Face: config.json as it
  /// is (empty object where there is none).
  Json metadata;
  std::vector<NamedTensor> tensors;  ///< sorted by name
  std::vector<std::filesystem::path> files;  ///< those whose bytes are weights, for hashing
  /// GGUF: the pairs in the file's order, with the types that `metadata` does not have; they lie in `storage`.
  std::vector<MetadataBytes> raw_metadata{};
  std::shared_ptr<const Storage> storage{};

  const NamedTensor* find(std::string_view name) const;
};

/// A reader for one kind of checkpoint. Extension point: core/checkpoint/formats/<name>.cpp.
struct CheckpointFormat {
  std::string_view name;
  std::string_view summary;
  /// Cheap test (a file's first bytes, a folder's file names).
  bool (*recognises)(const std::filesystem::path& path);
  /// @throws Error naming file, field, expected and found
  Checkpoint (*open)(const std::filesystem::path& path);
};

std::span<const CheckpointFormat* const> all_checkpoint_formats();

/// Opens `path` with the first format that recognises it; `hf:NAME` looks into the local Hugging Face cache.
Checkpoint open_checkpoint(const std::filesystem::path& path);

/// SHA-256 over the checkpoint's weight files, in name order, hexadecimal. Remembered in the user's cache folder until a
/// file changes (its size, times or place on the disk).
std::string checkpoint_sha256(const Checkpoint& checkpoint);

/// SHA-256 of bytes, hexadecimal: data sets and settings of a study.
std::string sha256(std::string_view bytes);

/// A file mapped read-only; empty files give an empty span. Throws Error where it cannot be opened.
class MappedFile : public Storage {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile() override;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return bytes_; }
  void give_back(std::span<const std::byte> bytes) const override;
  bool is_mapped() const override { return true; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace vitrine
