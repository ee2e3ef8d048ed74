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

/// A folder that appears in one step: filled under another name beside its own, then moved to its place. One that is there goes away
/// behind it. What was not committed goes away.
class PartFolder {
 public:
  /// @param target  "out" and "out/" are one folder
  /// @throws Error where none can be made beside it
  explicit PartFolder(const std::filesystem::path& target);
  ~PartFolder();
  PartFolder(const PartFolder&) = delete;
  PartFolder& operator=(const PartFolder&) = delete;

  /// Where to write: an empty folder.
  const std::filesystem::path& path() const { return part_; }
  /// @throws Error where the folder cannot be moved; the older one stays then
  void commit();

 private:
  std::filesystem::path target_, part_;
};

/// A small file that appears in one step. @throws Error where it cannot be written
void write_in_one_step(const std::filesystem::path& path, const std::function<void(std::ostream& file)>& write);

}  // namespace vitrine
