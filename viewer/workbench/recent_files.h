#pragma once

#include <string>
#include <vector>

namespace vitrine {

/// Files that were opened, newest first, kept in $XDG_STATE_HOME/vitrine (or ~/.local/state/vitrine). Nothing is kept where there is no such folder, and
/// none of it is an error.
std::vector<std::string> recent_files();
void note_recent_file(const std::string& file);

}  // namespace vitrine
