#include "experiments/subcommands.h"

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "core/base/error.h"

namespace vitrine {

std::function<void()> declare_subcommands(CLI::App& app, const std::vector<Subcommand>& words, const std::string& advice) {
  auto actions = std::make_shared<std::map<CLI::App*, std::function<void()>>>();
  std::string known;
  for (const Subcommand& word : words) {
    CLI::App* sub = app.add_subcommand(word.name, word.summary);
    if (!word.footer.empty()) sub->footer(word.footer);
    (*actions)[sub] = word.declare(*sub);
    known += (known.empty() ? "" : ", ") + word.name;
  }
  app.require_subcommand(0, 1)->allow_extras();  // the parser itself would not say which words there are
  return [actions, known, advice, chosen = &app] {
    if (chosen->get_subcommands().empty()) {
      const std::vector<std::string> given = chosen->remaining();
      throw Error({chosen->get_name(), known, given.empty() ? "none" : quoted(given.front(), 60), advice}, Fault::usage);
    }
    actions->at(chosen->get_subcommands().front())();
  };
}

}  // namespace vitrine
