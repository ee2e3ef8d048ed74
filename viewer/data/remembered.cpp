#include "viewer/data/remembered.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/base/part_file.h"

namespace vitrine {
namespace {

constexpr std::size_t most_entries = 20;

std::filesystem::path file_of(std::string_view list) {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0') return std::filesystem::path(state) / "vitrine" / list;
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return std::filesystem::path(home) / ".local" / "state" / "vitrine" / list;
  return {};
}

}  // namespace

std::vector<std::string> remembered(std::string_view list) {
  std::vector<std::string> entries;
  std::ifstream stream(file_of(list));
  for (std::string line; entries.size() < most_entries && std::getline(stream, line);) {
    if (!line.empty()) entries.push_back(line);
  }
  return entries;
}

void remember(std::string_view list, const std::string& path) {
  const std::filesystem::path file = file_of(list);
  if (file.empty() || path.empty() || path.find('\n') != std::string::npos) return;
  std::vector<std::string> entries = remembered(list);
  std::erase(entries, path);
  entries.insert(entries.begin(), path);
  entries.resize(std::min(entries.size(), most_entries));
  std::string text;
  for (const std::string& each : entries) text += each + "\n";
  std::error_code failed;
  std::filesystem::create_directories(file.parent_path(), failed);
  try {
    if (!failed) write_in_one_step(file, [&](std::ostream& stream) { stream << text; });
  } catch (const Error&) {
    // A folder that cannot be written to is no reason to stop.
  }
}

}  // namespace vitrine
