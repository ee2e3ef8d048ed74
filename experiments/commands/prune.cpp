#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/surgery.h"

namespace vitrine {
namespace {

struct Options {
  SurgeryOptions surgery;
  std::string method = "wanda", sparsity, pattern, heads, layers, share, count;
};

constexpr const char* methods = "wanda (default), sparsegpt, magnitude, random_mask, drop_heads, random_heads, drop_layers, random_layers";

/// The method's word, of what the user said.
ShortcutCall call_of(const Options& options) {
  const auto method = std::ranges::find(all_shortcuts(), std::string_view(options.method), &Shortcut::name);
  const bool known = std::string(methods).find(options.method) != std::string::npos;
  if (method == all_shortcuts().end() || !known) throw Error({"--method", methods, quoted(options.method), ""}, Fault::usage);
  std::map<std::string, std::string, std::less<>> values;
  const std::pair<const char*, const std::string*> said[] = {{"sparsity", &options.sparsity}, {"pattern", &options.pattern}, {"heads", &options.heads},
                                                             {"layers", &options.layers}, {"share", &options.share}, {"count", &options.count}};
  for (const auto& [key, value] : said) {
    if (value->empty()) continue;
    if (std::ranges::find((*method)->options, std::string_view(key), &ShortcutOption::key) == (*method)->options.end()) {
      throw Error({"--" + std::string(key), "another method", options.method + ", which has no such option", ""}, Fault::usage);
    }
    values.emplace(key, *value);
  }
  return {**method, std::move(values)};
}

void run(const Options& options) {
  const ShortcutCall call = call_of(options);
  print(operate(options.surgery, {"prune", {call}, Json::object().set("shortcuts", call.spelled())}), options.surgery);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_surgery(app, options->surgery);
  app.add_option("--method", options->method, methods);
  app.add_option("--sparsity", options->sparsity, "share of zeros, 0 to 1 (0.5)");
  app.add_option("--pattern", options->pattern, "N:M, of every M columns N stay: 2:4, 4:8");
  app.add_option("--heads", options->heads, "of drop_heads: L0H1/L2H0");
  app.add_option("--layers", options->layers, "of drop_layers: 3/5");
  app.add_option("--share", options->share, "of drop_heads, random_heads: share of all heads");
  app.add_option("--count", options->count, "of drop_heads, drop_layers: so many");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_prune() {
  static const Command command{"prune", "write a model with zeros in place of weights, or without heads or layers",
                               "vitrine prune model.gguf -o half.gguf --method wanda --sparsity 0.5 --calibration text.txt", declare};
  return command;
}

}  // namespace vitrine
