#pragma once

#include <filesystem>

namespace vitrine {

/// Marks a file as being written, for as long as this lives and its process does: an advisory lock of the open file, which neither
/// readers nor the HDF5 library's own locks meet.
class WriterMark {
 public:
  WriterMark() = default;
  explicit WriterMark(const std::filesystem::path& path);
  WriterMark(WriterMark&& other) noexcept;
  WriterMark& operator=(WriterMark&& other) noexcept;
  ~WriterMark();

 private:
  int file_ = -1;
};

/// Whether a process has marked the file.
bool is_being_written(const std::filesystem::path& path);

}  // namespace vitrine
