#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "experiments/command.h"

namespace vitrine {
namespace {

/// Becomes the program beside this one; all words go to it as they are.
[[noreturn]] void execute(const std::vector<std::string>& words) {
  std::error_code failure;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failure);
  const std::string program = (self.parent_path() / "vitrine-bench").string();
  std::vector<char*> arguments{const_cast<char*>(program.c_str())};
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw Error({"vitrine bench", program, "none that runs", "configure with -DVITRINE_BENCH=ON and build"});
}

std::function<void()> declare(CLI::App& app) {
  app.prefix_command();
  return [&app] { execute(app.remaining()); };
}

}  // namespace

const Command& command_bench() {
  static const Command command{"bench", "measure kernels and models (Google Benchmark's flags)",
                               "vitrine bench model.gguf --benchmark_filter=model", declare};
  return command;
}

}  // namespace vitrine
