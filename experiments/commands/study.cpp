#include "experiments/study.h"

#include "experiments/command.h"
#include "experiments/subcommands.h"

namespace vitrine {
namespace {

std::function<void()> declare(CLI::App& app) {
  std::vector<Subcommand> words;
  for (const Study* study : all_studies()) {
    words.push_back({std::string(study->name), std::string(study->summary), "Example:\n  " + std::string(study->example), study->declare});
  }
  return declare_subcommands(app, words, "see `vitrine study --help`");
}

}  // namespace

const Command& command_study() {
  static const Command command{"study", "an experiment with controls, and its report",
                               "vitrine study pairs model.gguf --data templates -o out", declare};
  return command;
}

}  // namespace vitrine
