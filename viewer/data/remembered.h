#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Lists of conveniences (files that were opened, models that were run), newest first, each kept in a file of $XDG_STATE_HOME/vitrine (or
/// ~/.local/state/vitrine). Nothing is kept where there is no such folder, and none of it is an error.
/// @param list  the list's name: "recent", "models"
std::vector<std::string> remembered(std::string_view list);
/// Puts a path to the front of a list.
void remember(std::string_view list, const std::string& path);

}  // namespace vitrine
