#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/run.h"
#include "experiments/command.h"

namespace vitrine {
namespace {

/// The parser itself does not say which word it did not know.
void require_command(int argc, char** argv) {
  std::string known;
  for (const Command* command : all_commands()) {
    if (argc > 1 && (argv[1][0] == '-' || argv[1] == command->name)) return;
    known += (known.empty() ? "" : ", ") + std::string(command->name);
  }
  throw Error({"command", known, argc > 1 ? quoted(std::string(argv[1]), 60) : "none", "see `vitrine --help`"}, Fault::usage);
}

/// The arguments behind the program's name, the last first as the parser takes them, "--text=" as "--text" and an empty text: the parser would
/// take the next argument for it.
std::vector<std::string> spread(int argc, char** argv) {
  std::vector<std::string> words;
  bool are_options = true;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    are_options = are_options && word != "--";
    const bool is_empty = are_options && word.size() > 3 && word.starts_with("--") && word.find('=') == word.size() - 1;
    if (is_empty) word.pop_back();
    words.push_back(std::move(word));
    if (is_empty) words.emplace_back();
  }
  std::ranges::reverse(words);
  return words;
}

int run(int argc, char** argv) {
  CLI::App app("Vitrine: run a language model, record it, look inside it, measure what each shortcut costs.", "vitrine");
  app.set_version_flag("--version", VITRINE_VERSION);
  app.require_subcommand(1);
  std::map<CLI::App*, std::function<void()>> actions;
  for (const Command* command : all_commands()) {
    CLI::App* sub = app.add_subcommand(std::string(command->name), std::string(command->summary));
    sub->footer("Example:\n  " + std::string(command->example));
    actions[sub] = command->declare(*sub);
  }
  require_command(argc, argv);
  std::vector<std::string> words = spread(argc, argv);
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    // The parser repeats what it could not read, which may be a list of a thousand ids with line breaks.
    const std::string line = quoted(std::string(error.what()), 300);
    std::fprintf(stderr, "vitrine: %s; see `vitrine --help`\n", line.substr(1, line.size() - 2).c_str());
    return 2;
  }
  int code = 0;
  try {
    actions.at(app.get_subcommands().front())();
  } catch (const AnsweredNo&) {
    code = 1;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) throw Error({"standard output", "to take the result", std::strerror(errno), ""});
  return code;
}

}  // namespace
}  // namespace vitrine

int main(int argc, char** argv) {
  // A heap of a thread's own grows by single pages, each a system call that holds up the page faults of all threads: 2,000
  // of them while a recording of 512 tokens is written. The kernels do not allocate, so nobody fights over one heap.
  mallopt(M_ARENA_MAX, 1);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow further is then an error of writing, with its name
  try {
    return vitrine::run(argc, argv);
  } catch (const vitrine::Error& error) {
    std::fprintf(stderr, "vitrine: %s\n", error.what());
    return static_cast<int>(error.fault());
  } catch (const vitrine::Cancelled&) {
    std::fprintf(stderr, "vitrine: stopped\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vitrine: %s\n", error.what());
  }
  return 1;
}
