#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "experiments/command.h"
#include "experiments/model_description.h"

namespace vitrine {
namespace {

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
      std::printf("%-26s %s\n", name.c_str(), value.is_string() ? value.string().c_str() : value.is_null() ? "none" : value.dump().c_str());
    }
  };
}

}  // namespace

const Command& command_info() {
  static const Command command{"info", "what a model is and what runs it here", "vitrine info model.gguf --json", declare};
  return command;
}

}  // namespace vitrine
