#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace vitrine {

/// A file for a test that writes it thousands of times: in memory where the system has such a place.
class ScratchFile {
 public:
  explicit ScratchFile(std::string_view name) {
    const std::filesystem::path memory("/dev/shm");
    const std::filesystem::path folder = std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    folder_ = folder / ("vitrine_test" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    path_ = folder_ / name;
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::filesystem::path& write(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_;
  }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_, path_;
};

}  // namespace vitrine
