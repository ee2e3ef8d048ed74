#include "core/base/part_file.h"

#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace vitrine {

PartFile::PartFile(std::filesystem::path target) : target_(std::move(target)), part_(target_.string() + ".part" + std::to_string(getpid())) {}

PartFile::~PartFile() {
  std::error_code ignored;
  if (!part_.empty()) std::filesystem::remove(part_, ignored);
}

void PartFile::commit() {
  std::error_code error;
  std::filesystem::rename(part_, target_, error);
  if (error) throw Error({target_.string(), "to put the file in its place", error.message(), ""});
  part_.clear();
}

void write_in_one_step(const std::filesystem::path& path, const std::function<void(std::ostream& file)>& write) {
  PartFile part(path);
  std::ofstream file(part.path(), std::ios::binary);
  write(file);
  file.close();
  if (!file) throw Error({path.string(), "a file that can be written", "none", ""});
  part.commit();
}

}  // namespace vitrine
