#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  bool no_special = false;
};

void run(const Options& options) {
  const Model model = load_model(options.common.model);
  if (!model.tokenizer) throw Error({options.common.model, "a tokenizer", "none", ""});
  if (!options.text.text) throw Error({"tokenize", "--text", "none", ""}, Fault::usage);
  Json list = Json::array();
  const bool special = !options.no_special;
  for (const Token& token : model.tokenizer->encode(*options.text.text, {special, special})) {
    const std::string piece = model.tokenizer->piece(token.id);
    if (!options.common.json) std::printf("%7d  %5zu %5zu  %s\n", token.id, token.begin, token.end, printable(piece).c_str());
    Json row;
    row.set("id", token.id).set("text", piece);
    row.set("begin", static_cast<std::uint64_t>(token.begin)).set("end", static_cast<std::uint64_t>(token.end));
    list.push(row);
  }
  if (options.common.json) std::puts(Json::object().set("tokens", list).dump(2).c_str());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common(app, options->common);
  declare_text(app, options->text);
  app.add_flag("--no-special", options->no_special, "add nothing and take special tokens in the text as plain text");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_tokenize() {
  static const Command command{"tokenize", "a text as tokens with byte offsets",
                               "vitrine tokenize model.gguf --text 'Hello world'", declare};
  return command;
}

}  // namespace vitrine
