#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/scoring.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::size_t window = 0, stride = 0;
};

/// The user's window, else the model's context; the stride defaults to half of it.
Windows windows_of(const Options& options, const ModelSpec& spec, std::size_t tokens) {
  const std::size_t context = spec.context > 0 ? spec.context : std::max<std::size_t>(tokens, 2);
  Windows windows{options.window > 0 ? options.window : context, options.stride};
  if (windows.window < 2 || windows.window > context) {
    throw Error({"--window", "2 to " + std::to_string(context) + " (the model's context)", std::to_string(windows.window), ""}, Fault::usage);
  }
  if (windows.stride == 0) windows.stride = windows.window / 2;
  if (windows.stride >= windows.window) {
    throw Error({"--stride", "less than the window, " + std::to_string(windows.window), std::to_string(windows.stride), ""}, Fault::usage);
  }
  return windows;
}

Json result_of(const Session& session, const InputText& input, std::span<const std::optional<double>> scores, const Windows& windows) {
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  Json tokens = Json::array();
  double sum = 0.0;
  std::size_t scored = 0, bytes = 0, first_scored = 0;
  for (std::size_t i = input.bos_added ? 1 : 0; i < input.tokens.size(); ++i) {
    const Token& token = input.tokens[i];
    Json row;
    row.set("id", token.id).set("text", tokenizer ? Json(tokenizer->piece(token.id)) : Json());
    row.set("logprob", scores[i] ? Json(*scores[i]) : Json());
    if (!scores[i]) row.set("reason", "nothing stands before the first token");
    tokens.push(row);
    if (!scores[i]) continue;
    if (scored++ == 0) first_scored = i;
    sum += *scores[i];
    bytes += token.end - token.begin;
  }
  const auto count = static_cast<double>(scored);
  Json protocol;
  protocol.set("bos", input.bos_rule).set("window", static_cast<std::uint64_t>(windows.window)).set("stride", static_cast<std::uint64_t>(windows.stride));
  protocol.set("first_scored", static_cast<std::uint64_t>(first_scored)).set("unit", "token");
  Json json;
  json.set("tokens", tokens).set("sum", scored ? Json(sum) : Json());
  json.set("perplexity", scored ? Json(std::exp(-sum / count)) : Json());
  json.set("bits_per_byte", bytes ? Json(-sum / std::log(2.0) / static_cast<double>(bytes)) : Json());
  if (scored == 0) json.set("reason", "no token has another before it");
  return json.set("tokens_scored", static_cast<std::uint64_t>(scored)).set("protocol", protocol).set("signature", session.signature());
}

void run(const Options& options) {
  Session session(options.common);
  require_next_token_model(session.model());
  const InputText input = session.read(options.text);
  const std::vector<TokenId> ids = ids_of(input.tokens);
  const Windows windows = windows_of(options, session.model().spec, ids.size());
  const Json json = result_of(session, input, windowed_log_probabilities(session, ids, windows), windows);
  if (options.common.json) {
    std::puts(json.dump(2).c_str());
    return;
  }
  for (const Json& row : json["tokens"].items()) {
    const std::string text = row["text"].is_string() ? printable(row["text"].string()) : row["id"].dump();
    std::printf("%10s  %s\n", row["logprob"].is_null() ? "-" : std::to_string(row["logprob"].number()).c_str(), text.c_str());
  }
  std::printf("sum %s nats, perplexity %s per token over %s tokens (bos: %s)\n", json["sum"].dump().c_str(),
              json["perplexity"].dump().c_str(), json["tokens_scored"].dump().c_str(), input.bos_rule.c_str());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common(app, options->common);
  declare_text(app, options->text);
  app.add_option("--window", options->window, "tokens of a window (the model's context); longer texts are scored in windows");
  app.add_option("--stride", options->stride, "tokens from window to window (half of it)");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_score() {
  static const Command command{"score", "log-probability of every token of a text, and its perplexity",
                               "vitrine score model.gguf --text 'The cat sat on the mat.' --json", declare};
  return command;
}

}  // namespace vitrine
