#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/embedding.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::string pooling = "auto";
  bool no_normalize = false;
};

Pooling parse_pooling(const std::string& word, const ModelSpec& spec) {
  if (word == "auto") return spec.pooling == Pooling::none ? Pooling::mean : spec.pooling;
  if (word == "mean") return Pooling::mean;
  if (word == "cls") return Pooling::cls;
  if (word == "last") return Pooling::last;
  throw Error({"--pooling", "auto, mean, cls or last", quoted(word), ""}, Fault::usage);
}

void run(const Options& options) {
  Session session(options.common);
  const Pooling pooling = parse_pooling(options.pooling, session.model().spec);
  const InputText input = session.read(options.text);
  if (input.tokens.empty()) throw Error({"--text", "at least one token", "none", ""}, Fault::usage);
  const std::vector<double> embedding = sequence_embedding(session, ids_of(input.tokens), pooling, !options.no_normalize);
  if (options.common.json) {
    Json values = Json::array();
    for (const double value : embedding) values.push(value);
    Json json;
    json.set("embedding", values).set("pooling", pooling == Pooling::mean ? "mean" : pooling == Pooling::cls ? "cls" : "last");
    json.set("normalized", !options.no_normalize).set("tokens", static_cast<std::uint64_t>(input.tokens.size()));
    std::puts(json.set("signature", session.signature()).dump(2).c_str());
    return;
  }
  for (const double value : embedding) std::printf("%.9g\n", value);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common(app, options->common);
  declare_text(app, options->text);
  app.add_option("--pooling", options->pooling, "mean, cls or last; auto = what the model declares, else mean");
  app.add_flag("--no-normalize", options->no_normalize, "do not divide by the vector's length");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_embed() {
  static const Command command{"embed", "a text as one vector", "vitrine embed all-MiniLM-L6-v2/ --text 'A sentence.' --json", declare};
  return command;
}

}  // namespace vitrine
