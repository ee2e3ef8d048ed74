#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "probes/writer_mark_internal.h"

namespace vitrine {
namespace {

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

WriterMark::WriterMark(const std::filesystem::path& path) : file_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
  struct flock lock = whole_file();
  // A file system without locks has no marks: nobody is kept from writing there.
  if (file_ >= 0) fcntl(file_, F_OFD_SETLK, &lock);
}

WriterMark::WriterMark(WriterMark&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

WriterMark& WriterMark::operator=(WriterMark&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

WriterMark::~WriterMark() {
  if (file_ >= 0) close(file_);
}

bool is_being_written(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  struct flock lock = whole_file();
  const bool marked = fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  close(file);
  return marked;
}

}  // namespace vitrine
