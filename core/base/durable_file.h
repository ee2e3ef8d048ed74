#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/base/part_file.h"

namespace vitrine {

/// A large file that appears under its name only when all of it is on the disk: written beside, flushed, then moved. What was not
/// committed goes away with the object.
class DurableFile {
 public:
  /// @throws Error where it cannot be made
  explicit DurableFile(const std::filesystem::path& target);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  /// @throws Error where it cannot be written: the disk is full, the file would be larger than allowed
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Zeros up to the next multiple of `alignment`.
  void pad(std::uint64_t alignment);
  std::uint64_t at() const { return at_; }
  /// @throws Error where it cannot be flushed or moved
  void commit();

 private:
  [[noreturn]] void fail(std::string_view what) const;
  std::filesystem::path target_;
  PartFile part_;
  int file_ = -1;
  std::uint64_t at_ = 0;
};

/// @throws Error where the disk of `target` has fewer bytes left
void require_space(const std::filesystem::path& target, std::uint64_t bytes);

/// Makes the names in a folder last: what was moved there stays after a power cut.
void flush_folder(const std::filesystem::path& folder);

}  // namespace vitrine
