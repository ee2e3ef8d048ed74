#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>

namespace vitrine {

/// A file that appears in one step: written under another name beside it, then moved to its place, also over one that is
/// there. What was not committed goes away.
class PartFile {
 public:
  explicit PartFile(std::filesystem::path target);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  /// Where to write; nothing is there yet.
  const std::filesystem::path& path() const { return part_; }
  /// @throws Error where the file cannot be moved
  void commit();

 private:
  std::filesystem::path target_, part_;
};

/// A small file that appears in one step. @throws Error where it cannot be written
void write_in_one_step(const std::filesystem::path& path, const std::function<void(std::ostream& file)>& write);

}  // namespace vitrine
