#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "experiments/command.h"
#include "experiments/model_description.h"

namespace vitrine {
namespace {

/// A line for each thing that was done to the file.
void print_history(const Json& history) {
  if (history.items().size() == 0) std::printf("%-26s none\n", "history");
  for (std::size_t i = 0; i < history.items().size(); ++i) {
    std::string line;
    for (const auto& [key, value] : history.items()[i].members()) {
      const std::string words = printable(value.is_string() ? value.string() : value.dump());
      line += key == "operation" ? words + ":" : " " + printable(key) + " " + (key.ends_with("sha256") ? words.substr(0, 12) : words);
    }
    std::printf("%-26s %s\n", i == 0 ? "history" : "", line.c_str());
  }
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<CommonOptions>();
  declare_common(app, *options);
  return [options] {
    Session session(*options);
    const Json json = describe(session);
    if (options->json) {
      std::puts(json.dump(2).c_str());
      return;
    }
    for (const auto& [name, value] : json.members()) {
      if (name == "history" && value.is_array()) print_history(value);
      else std::printf("%-26s %s\n", name.c_str(), value.is_string() ? printable(value.string()).c_str() : value.is_null() ? "none" : value.dump().c_str());
    }
  };
}

}  // namespace

const Command& command_info() {
  static const Command command{"info", "what a model is and what runs it here", "vitrine info model.gguf --json", declare};
  return command;
}

}  // namespace vitrine
