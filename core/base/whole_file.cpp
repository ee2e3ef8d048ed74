#include "core/base/whole_file.h"

#include <fstream>
#include <iterator>

#include "core/base/error.h"

namespace vitrine {

std::optional<std::string> read_whole_file(const std::filesystem::path& path, std::uint64_t most) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  if (std::filesystem::file_size(path, ignored) > most << 20) throw Error({path.string(), "at most " + std::to_string(most) + " MiB", "more", ""});
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) throw Error({path.string(), "a readable file", "none", ""});
  return bytes;
}

}  // namespace vitrine
