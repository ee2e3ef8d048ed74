#include "experiments/study.h"

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"

namespace vitrine {
namespace {

[[noreturn]] void refuse_unknown(const std::vector<std::string>& words) {
  std::string known;
  for (const Study* study : all_studies()) known += (known.empty() ? "" : ", ") + std::string(study->name);
  throw Error({"study", known, words.empty() ? "none" : quoted(words.front(), 60), "see `vitrine study --help`"}, Fault::usage);
}

std::function<void()> declare(CLI::App& app) {
  auto actions = std::make_shared<std::map<CLI::App*, std::function<void()>>>();
  for (const Study* study : all_studies()) {
    CLI::App* sub = app.add_subcommand(std::string(study->name), std::string(study->summary));
    sub->footer("Example:\n  " + std::string(study->example));
    (*actions)[sub] = study->declare(*sub);
  }
  app.require_subcommand(0, 1);  // none, or an unknown one, is refused below by a line that lists them
  app.allow_extras();
  return [actions, chosen = &app] {
    if (chosen->get_subcommands().empty()) refuse_unknown(chosen->remaining());
    actions->at(chosen->get_subcommands().front())();
  };
}

}  // namespace

const Command& command_study() {
  static const Command command{"study", "an experiment with controls, and its report",
                               "vitrine study pairs model.gguf --data templates -o out", declare};
  return command;
}

}  // namespace vitrine
