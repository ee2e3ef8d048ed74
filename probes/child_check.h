#pragma once

#include <functional>
#include <string>

namespace vitrine {

/// Answers a question in a child process, so that a library that falls over a hostile file takes only the child along.
/// @throws Error the question's own one, or one that says how the child died
bool ask_child(const std::string& path, const std::function<bool()>& question);

/// The same for what has no answer.
void check_in_child(const std::string& path, const std::function<void()>& check);

}  // namespace vitrine
