#include <CLI/CLI.hpp>

#include "experiments/command.h"
#include "experiments/program_beside.h"

namespace vitrine {
namespace {

std::function<void()> declare(CLI::App& app) {
  app.prefix_command();
  return [&app] {
    become_program_beside("vitrine-bench", app.remaining(), "configure with -DVITRINE_BENCH=ON and build");
  };
}

}  // namespace

const Command& command_bench() {
  static const Command command{"bench", "measure kernels and models (Google Benchmark's flags)",
                               "vitrine bench model.gguf --benchmark_filter=model", declare};
  return command;
}

}  // namespace vitrine
