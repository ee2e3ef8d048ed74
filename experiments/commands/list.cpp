#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/decode/strategy.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/architecture.h"
#include "core/text/tokenizer.h"
#include "experiments/command.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

template <typename Members>
void print(const Members& members) {
  for (const auto* member : members) {
    std::printf("%-18.*s %.*s\n", static_cast<int>(member->name.size()), member->name.data(),
                static_cast<int>(member->summary.size()), member->summary.data());
  }
}

void run(const std::string& kind) {
  if (kind == "kernels") return print(all_attention_kernels());
  if (kind == "architectures") return print(all_architectures());
  if (kind == "formats") return print(all_checkpoint_formats());
  if (kind == "tokenizers") return print(all_tokenizer_models());
  if (kind == "strategies") return print(all_strategies());
  if (kind == "commands") return print(all_commands());
  throw Error({"KIND", "kernels, architectures, formats, tokenizers, strategies or commands", quoted(kind), ""}, Fault::usage);
}

std::function<void()> declare(CLI::App& app) {
  auto kind = std::make_shared<std::string>();
  app.add_option("KIND", *kind, "kernels, architectures, formats, tokenizers, strategies, commands")->required();
  return [kind] { run(*kind); };
}

}  // namespace

const Command& command_list() {
  static const Command command{"list", "what this program has of a kind, one line each", "vitrine list kernels", declare};
  return command;
}

}  // namespace vitrine
