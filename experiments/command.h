#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace vitrine {

/// A word of the command line. Extension point: experiments/commands/<name>.cpp.
struct Command {
  std::string_view name;
  std::string_view summary;
  std::string_view example;
  /// Declares options on `app` and returns what runs once they are parsed. @throws Error
  std::function<void()> (*declare)(CLI::App& app);
};

/// Thrown by a command that has printed its whole result, where that result is a no: the program then ends with 1.
struct AnsweredNo {};

std::span<const Command* const> all_commands();

}  // namespace vitrine
