#include "core/base/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_at_once = std::size_t{1} << 30;  // bytes a call: the system's own limit lies at two

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

}  // namespace

DurableFile::DurableFile(const fs::path& target) : target_(target), part_(target) {
  file_ = ::open(part_.path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file_ < 0) fail("a file that can be written");
}

DurableFile::~DurableFile() {
  if (file_ >= 0) ::close(file_);
}

void DurableFile::fail(std::string_view what) const {
  const int code = errno;
  throw Error({target_.string(), std::string(what), std::strerror(code), code == ENOSPC || code == EDQUOT ? "make room on the disk, or choose another folder" : ""});
}

void DurableFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(file_, bytes.data(), std::min(bytes.size(), most_at_once));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("to write the file to its end");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    at_ += static_cast<std::uint64_t>(done);
  }
}

void DurableFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void DurableFile::pad(std::uint64_t alignment) {
  static constexpr std::array<std::byte, 4096> zeros{};
  for (std::uint64_t left = (alignment - at_ % alignment) % alignment; left > 0;) {
    const std::uint64_t some = std::min<std::uint64_t>(left, zeros.size());
    write(std::span(zeros).first(some));
    left -= some;
  }
}

void DurableFile::commit() {
  if (::fsync(file_) != 0) fail("to flush the file to the disk");
  const int closed = ::close(file_);
  file_ = -1;
  if (closed != 0) fail("to close the file");
  part_.commit();
  flush_folder(folder_of(target_));
}

void require_space(const fs::path& target, std::uint64_t bytes) {
  std::error_code unknown;
  const fs::space_info space = fs::space(folder_of(target), unknown);
  if (unknown || space.available >= bytes) return;
  throw Error({target.string(), std::to_string(bytes) + " bytes on the disk", std::to_string(space.available) + " free", "make room, or choose another folder"});
}

void flush_folder(const fs::path& folder) {
  const int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;  // a folder that may be written but not read: nothing to do
  ::fsync(file);
  ::close(file);
}

}  // namespace vitrine
