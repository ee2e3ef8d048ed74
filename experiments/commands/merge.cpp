#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/shortcuts/adapter.h"
#include "experiments/command.h"
#include "experiments/surgery.h"

namespace vitrine {
namespace {

struct Options {
  SurgeryOptions surgery;
  std::vector<std::string> adapters;
  std::string scale = "1";
};

/// What a folder's adapter is told by in a file that others read: not where it stood.
Json record_of(const std::string& folder, const std::string& scale) {
  const std::filesystem::path path = std::filesystem::path(folder) / "";
  return Json::object().set("name", path.parent_path().filename().string()).set("sha256", adapter_sha256(folder)).set("scale", scale);
}

void run(const Options& options) {
  const auto lora = std::ranges::find(all_shortcuts(), std::string_view("lora"), &Shortcut::name);
  Surgery surgery{"merge", {}};
  Json adapters = Json::array();
  for (const std::string& folder : options.adapters) {
    surgery.calls.emplace_back(**lora, std::map<std::string, std::string, std::less<>>{{"adapter", folder}, {"scale", options.scale}});
    adapters.push(record_of(folder, options.scale));
  }
  surgery.record.set("adapters", adapters);
  print(operate(options.surgery, surgery), options.surgery);
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
