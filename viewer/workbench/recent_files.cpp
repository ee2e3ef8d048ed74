#include "viewer/workbench/recent_files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/base/part_file.h"

namespace vitrine {
namespace {

constexpr std::size_t most_files = 20;

std::filesystem::path list_file() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0') return std::filesystem::path(state) / "vitrine" / "recent";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return std::filesystem::path(home) / ".local" / "state" / "vitrine" / "recent";
  return {};
}

}  // namespace

std::vector<std::string> recent_files() {
  std::vector<std::string> files;
  std::ifstream stream(list_file());
  for (std::string line; files.size() < most_files && std::getline(stream, line);) {
    if (!line.empty()) files.push_back(line);
  }
  return files;
}

void note_recent_file(const std::string& file) {
  const std::filesystem::path list = list_file();
  const std::string path = std::filesystem::absolute(file).string();
  if (list.empty() || path.find('\n') != std::string::npos) return;
  std::vector<std::string> files = recent_files();
  std::erase(files, path);
  files.insert(files.begin(), path);
  files.resize(std::min(files.size(), most_files));
  std::string text;
  for (const std::string& each : files) text += each + "\n";
  std::error_code failed;
  std::filesystem::create_directories(list.parent_path(), failed);
  try {
    if (!failed) write_in_one_step(list, [&](std::ostream& stream) { stream << text; });
  } catch (const Error&) {
    // A list of conveniences: a folder that cannot be written to is no reason to stop.
  }
}

}  // namespace vitrine
