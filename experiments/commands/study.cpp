#include "experiments/study.h"

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "experiments/command.h"

namespace vitrine {
namespace {

std::function<void()> declare(CLI::App& app) {
  auto actions = std::make_shared<std::map<CLI::App*, std::function<void()>>>();
  for (const Study* study : all_studies()) {
    CLI::App* sub = app.add_subcommand(std::string(study->name), std::string(study->summary));
    sub->footer("Example:\n  " + std::string(study->example));
    (*actions)[sub] = study->declare(*sub);
  }
  app.require_subcommand(1);
  return [actions, chosen = &app] { actions->at(chosen->get_subcommands().front())(); };
}

}  // namespace

const Command& command_study() {
  static const Command command{"study", "an experiment with controls, and its report",
                               "vitrine study pairs model.gguf --data templates -o out", declare};
  return command;
}

}  // namespace vitrine
