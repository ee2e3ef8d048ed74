#pragma once

#include <functional>
#include <string>

namespace vitrine {

/// Runs `check` in a child process, so that a library that falls over a hostile file takes only the child along.
/// @throws Error the check's own one, or one that says how the child died
void check_in_child(const std::string& path, const std::function<void()>& check);

}  // namespace vitrine
