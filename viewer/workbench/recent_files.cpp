#include "viewer/workbench/recent_files.h"

#include <filesystem>

#include "viewer/data/remembered.h"

namespace vitrine {

std::vector<std::string> recent_files() { return remembered("recent"); }

void note_recent_file(const std::string& file) { remember("recent", std::filesystem::absolute(file).string()); }

}  // namespace vitrine
