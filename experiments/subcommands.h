#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace vitrine {

/// A word behind a command's own: `vitrine study pairs`.
struct Subcommand {
  std::string name, summary;
  std::string footer;  ///< of its help, with an example; empty: `declare` writes one
  /// Declares options and returns what runs once they are parsed.
  std::function<std::function<void()>(CLI::App&)> declare;
};

/// Declares them all and returns what runs the one that was chosen. None, or an unknown one, is refused by a line that lists them.
/// @param advice  the end of that line
std::function<void()> declare_subcommands(CLI::App& app, const std::vector<Subcommand>& words, const std::string& advice);

}  // namespace vitrine
