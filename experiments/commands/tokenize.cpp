#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/model/tokenizer_of.h"
#include "experiments/command.h"
#include "experiments/output.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  bool no_special = false;
};

Json result_of(const Tokenizer& tokenizer, std::span<const Token> tokens) {
  Json list = Json::array();
  for (const Token& token : tokens) {
    Json row;
    row.set("id", token.id).set("text", tokenizer.piece(token.id));
    row.set("begin", static_cast<std::uint64_t>(token.begin)).set("end", static_cast<std::uint64_t>(token.end));
    list.push(row);
  }
  return Json::object().set("tokens", list);
}

/// One row a text: its number of tokens and their ids.
void print_rows(std::span<const Json> results, bool csv) {
  std::vector<Json> rows;
  for (const Json& result : results) {
    std::string ids;
    for (const Json& token : result["tokens"].items()) ids += (ids.empty() ? "" : " ") + token["id"].dump();
    Json row = Json::object().set("id", static_cast<std::uint64_t>(rows.size()));
    rows.push_back(row.set("tokens", static_cast<std::uint64_t>(result["tokens"].items().size())).set("ids", ids));
  }
  if (csv) {
    std::fputs(csv_of(rows, std::vector<std::string>{"id", "tokens", "ids"}).c_str(), stdout);
    return;
  }
  std::printf("%6s %7s  ids\n", "id", "tokens");
  for (const Json& row : rows) std::printf("%6s %7s  %s\n", row["id"].dump().c_str(), row["tokens"].dump().c_str(), row["ids"].string().c_str());
}

void run(const Options& options) {
  require_one_source(options.text);
  if (options.no_special && options.text.bos == "yes") throw Error({"--no-special", "--bos auto or no", "--bos yes", ""}, Fault::usage);
  const auto tokenizer = open_tokenizer(options.common.model);
  std::vector<Json> results;
  for (std::string& text : texts_of(options.text)) {
    const std::vector<Token> tokens = options.no_special ? tokenizer->encode(text, {.add_special = false, .parse_special = false})
                                                         : encode_text(*tokenizer, std::move(text), options.text.bos).tokens;
    results.push_back(result_of(*tokenizer, tokens));
  }
  if (options.common.json) {
    // What a tokenizer does depends on nothing but its model.
    const Json signature = Json::object().set("model", std::filesystem::path(options.common.model).filename().string()).set("version", VITRINE_VERSION);
    std::puts((options.text.many() ? sequences_of(std::move(results), signature) : results.front()).dump(2).c_str());
    return;
  }
  if (options.text.many()) return print_rows(results, options.common.csv);
  const Json::Array& tokens = results.front()["tokens"].items();
  if (options.common.csv) {
    std::fputs(csv_of(tokens, std::vector<std::string>{"id", "text", "begin", "end"}).c_str(), stdout);
    return;
  }
  for (const Json& token : tokens) {
    std::printf("%7s  %5s %5s  %s\n", token["id"].dump().c_str(), token["begin"].dump().c_str(), token["end"].dump().c_str(),
                printable(token["text"].string()).c_str());
  }
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_texts(app, options->text);
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
