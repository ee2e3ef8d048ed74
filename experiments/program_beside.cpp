#include "experiments/program_beside.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/error.h"

namespace vitrine {

void become_program_beside(std::string_view program, std::span<const std::string> words, const std::string& advice) {
  std::error_code failure;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failure);
  const std::string path = (self.parent_path() / program).string();
  std::vector<char*> arguments{const_cast<char*>(path.c_str())};
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv(path.c_str(), arguments.data());
  throw Error({path, "a program that runs", "none", advice});
}

}  // namespace vitrine
