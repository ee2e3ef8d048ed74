#include "core/base/part_file.h"

#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>

#include "core/base/durable_file.h"
#include "core/base/error.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

fs::path part_of(const fs::path& target) { return target.string() + ".part" + std::to_string(::getpid()); }

/// With a name at its end, "/here/out" of "out/" and "x/../out"; of a link the folder that it leads to.
fs::path named(const fs::path& folder) {
  std::error_code failure, ignored;
  fs::path path = fs::weakly_canonical(fs::absolute(folder, failure), failure);
  if (failure) throw Error({folder.string(), "the name of a folder", failure.message(), ""});
  if (path.filename().empty()) path = path.parent_path();
  if (fs::equivalent(path, fs::current_path(ignored), ignored)) throw Error({folder.string(), "a folder that nobody works in", "the current one", "name one inside it"});
  return path;
}

}  // namespace

PartFile::PartFile(fs::path target) : target_(std::move(target)), part_(part_of(target_)) {}

PartFile::~PartFile() {
  std::error_code ignored;
  if (!part_.empty()) fs::remove(part_, ignored);
}

void PartFile::commit() {
  std::error_code error;
  fs::rename(part_, target_, error);
  if (error) throw Error({target_.string(), "to put the file in its place", error.message(), ""});
  part_.clear();
}

PartFolder::PartFolder(const fs::path& target) : target_(named(target)), part_(part_of(target_)) {
  std::error_code failure;
  fs::remove_all(part_, failure);
  fs::create_directories(part_, failure);
  if (failure) throw Error({target.string(), "a folder that can be made", failure.message(), ""});
}

PartFolder::~PartFolder() {
  std::error_code ignored;
  if (!part_.empty()) fs::remove_all(part_, ignored);
}

void PartFolder::commit() {
  std::error_code failure, ignored;
  const fs::path aside = part_.string() + ".old";
  const bool replaces = fs::exists(target_, ignored);
  if (replaces) fs::rename(target_, aside, failure);
  if (!failure) fs::rename(part_, target_, failure);
  if (failure) {
    if (replaces && !fs::exists(target_, ignored)) fs::rename(aside, target_, ignored);
    throw Error({target_.string(), "to put the folder in its place", failure.message(), ""});
  }
  part_.clear();
  if (replaces) fs::remove_all(aside, ignored);
  flush_folder(target_.parent_path());
}

void write_in_one_step(const fs::path& path, const std::function<void(std::ostream& file)>& write) {
  PartFile part(path);
  std::ofstream file(part.path(), std::ios::binary);
  write(file);
  file.close();
  if (!file) throw Error({path.string(), "a file that can be written", "none", ""});
  part.commit();
}

}  // namespace vitrine
