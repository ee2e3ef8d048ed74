#include "core/base/part_file.h"

#include <unistd.h>

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

}  // namespace vitrine
