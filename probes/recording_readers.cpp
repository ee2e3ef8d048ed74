#include "probes/recording_readers.h"

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "probes/checked_file_internal.h"
#include "probes/child_check.h"
#include "probes/protection/audit_log.h"
#include "probes/recording.h"

namespace vitrine {
namespace {

/// A protected recording opened to change its readers, after it was checked as one that is read.
class OpenReaders {
 public:
  OpenReaders(const std::filesystem::path& path, const SharedSecret& secret, unsigned flags) : where_(path.string()) {
    if (!Recording::is_protected(path)) throw Error({where_, "a protected recording", "an open one", "record with --encrypt"});
    finished_ = Recording::open(path, secret)->finished();
    const h5::Handle access = h5::access_properties();
    if (flags != H5F_ACC_RDONLY && !finished_) throw Error({where_, "a finished recording", "one that is unfinished", ""});
    file_ = {H5Fopen(where_.c_str(), finished_ ? flags : flags | H5F_ACC_SWMR_READ, access), H5Fclose};
    h5::require(file_, where_, "open the file");
    keys_ = unlock(file_, secret ? *secret : *secret_of_environment(), where_);
    readers_ = read_readers(file_, where_);
  }

  const FileKeys& keys() const { return *keys_; }
  const FileKeys::Id& id() const { return keys_->id(); }
  const std::vector<FileKeys::Wrapped>& places() const { return readers_; }
  std::size_t count() const { return static_cast<std::size_t>(std::ranges::count_if(readers_, [](const auto& each) { return FileKeys::is_reader(each); })); }
  void write(std::size_t place, const FileKeys::Wrapped& wrapped) {
    write_reader(file_, place, wrapped, where_);
    h5::require(file_.reset() ? 0 : -1, where_, "close the file");
  }

 private:
  h5::Library library_;
  std::string where_;
  h5::Handle file_;
  bool finished_ = false;
  std::optional<FileKeys> keys_;
  std::vector<FileKeys::Wrapped> readers_;
};

}  // namespace

RecordingReaders readers_of(const std::filesystem::path& recording, const SharedSecret& secret) {
  const OpenReaders open(recording, secret, H5F_ACC_RDONLY);
  return {open.count(), open.keys().role()};
}

FileKeys keys_of(const std::filesystem::path& recording, const SharedSecret& secret) {
  const auto open = [&] {
    CheckedFile file(recording.string());
    if (!file.is_protected()) throw Error({recording.string(), "a protected recording", "an open one", "record with --encrypt"});
    file.unlock(*secret);
    return file.take_keys();
  };
  check_in_child(recording.string(), open);
  return open();
}

void grant_reader(const std::filesystem::path& recording, const SharedSecret& secret, const Reader& reader) {
  OpenReaders open(recording, secret, H5F_ACC_RDWR);
  const FileKeys::Wrapped wrapped = open.keys().wrap(reader);
  const auto is_theirs = [&](const auto& each) { return FileKeys::is_reader(each) && FileKeys::unwrap(open.id(), each, *reader.secret); };
  auto free = std::ranges::find_if(open.places(), is_theirs);  // whose role changes
  if (free != open.places().end() && FileKeys::unwrap(open.id(), *free, *reader.secret)->role() == reader.role) {
    throw Error({recording.string(), "a key that does not read it as " + std::string(reader_role_name(reader.role)) + " yet", "one that does", ""});
  }
  if (free == open.places().end()) free = std::ranges::find_if_not(open.places(), [](const auto& each) { return FileKeys::is_reader(each); });
  if (free == open.places().end()) throw Error({recording.string(), "at most " + std::to_string(most_readers) + " readers", "one more", "revoke one"});
  append_audit(recording, open.keys(), {.action = "grant", .detail = std::string(reader_role_name(reader.role))});
  open.write(static_cast<std::size_t>(free - open.places().begin()), wrapped);
}

void revoke_reader(const std::filesystem::path& recording, const SharedSecret& secret, const SharedSecret& whose) {
  OpenReaders open(recording, secret, H5F_ACC_RDWR);
  for (std::size_t place = 0; place < open.places().size(); ++place) {
    const FileKeys::Wrapped& wrapped = open.places()[place];
    if (!FileKeys::is_reader(wrapped) || !FileKeys::unwrap(open.id(), wrapped, *whose)) continue;
    if (open.count() == 1) throw Error({recording.string(), "another reader before the last one is revoked", "none", "nobody could open it again"});
    append_audit(recording, open.keys(), {.action = "revoke"});
    return open.write(place, FileKeys::Wrapped{});
  }
  throw Error({recording.string(), "one of its readers to revoke", "a secret that opens nothing in it", ""});
}

}  // namespace vitrine
