#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "experiments/command.h"
#include "experiments/surgery.h"

namespace vitrine {
namespace {

struct Options {
  SurgeryOptions surgery;
  std::vector<std::string> adapters;
  std::string scale = "1";
};

void run(const Options& options) {
  const auto lora = std::ranges::find(all_shortcuts(), std::string_view("lora"), &Shortcut::name);
  std::vector<ShortcutCall> calls;
  for (const std::string& folder : options.adapters) calls.emplace_back(**lora, std::map<std::string, std::string, std::less<>>{{"adapter", folder}, {"scale", options.scale}});
  print(operate(options.surgery, "merge", calls), options.surgery);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_surgery(app, options->surgery);
  app.add_option("--adapter", options->adapters, "folder of a LoRA adapter as PEFT saves it; may be given several times")->required()->allow_extra_args(false);
  app.add_option("--scale", options->scale, "times the adapter's own scale (1)");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_merge() {
  static const Command command{"merge", "write a model with LoRA adapters added to its weights", "vitrine merge model.gguf --adapter ./adapter -o merged.gguf", declare};
  return command;
}

}  // namespace vitrine
