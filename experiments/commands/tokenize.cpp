#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/model/tokenizer_of.h"
#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/output.h"
#include "experiments/session.h"
#include "probes/statistics/median.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::size_t most = 0, repeat = 0;
  bool no_special = false;
};

Json result_of(const Tokenizer& tokenizer, std::span<const Token> tokens) {
  Json list = Json::array();
  for (const Token& token : tokens) {
    Json row;
    row.set("id", token.id).set("text", tokenizer.piece(token.id));
    row.set("begin", static_cast<std::uint64_t>(token.begin)).set("end", static_cast<std::uint64_t>(token.end)).set("type", token.type);
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

/// How long one text takes, encoded again and again: the median of the repetitions.
void print_speed(const Tokenizer& tokenizer, const std::string& text, const Options& options) {
  const EncodeOptions how{.add_special = !options.no_special, .parse_special = !options.no_special};
  std::vector<double> seconds;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < options.repeat; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    tokens = tokenizer.encode(text, how).size();
    seconds.push_back(seconds_since(begin));
  }
  const double first = seconds.front();
  const double middle = median(seconds), megabytes = static_cast<double>(text.size()) / 1e6;
  if (options.common.json) {
    Json result = Json::object().set("tokens", static_cast<std::uint64_t>(tokens)).set("bytes", static_cast<std::uint64_t>(text.size()));
    std::puts(result.set("first_seconds", first).set("median_seconds", middle).set("megabytes_per_second", megabytes / middle).dump(2).c_str());
    return;
  }
  std::printf("%zu tokens, %zu bytes, %zu times: median %.3f ms (the first %.3f ms), %.1f MB/s\n", tokens, text.size(), options.repeat,
              middle * 1e3, first * 1e3, megabytes / middle);
}

/// With a second text, or at most so many tokens: what the tokenizer itself arranges.
std::vector<Token> encode(const Tokenizer& tokenizer, std::string text, const Options& options) {
  EncodeOptions how{.max_tokens = options.most};
  if (options.no_special) how.add_special = how.parse_special = false;
  if (!options.text.pair.empty()) return tokenizer.encode_pair(text, options.text.pair, how);
  if (options.no_special || options.most > 0) return tokenizer.encode(text, how);
  return encode_text(tokenizer, std::move(text), options.text.bos).tokens;
}

void run(const Options& options) {
  require_one_source(options.text);
  const bool arranged = !options.text.pair.empty() || options.most > 0;
  if (arranged && options.text.bos != "auto") throw Error({"--pair and --max-tokens", "--bos auto", "--bos " + options.text.bos, ""}, Fault::usage);
  if (options.no_special && options.text.bos == "yes") throw Error({"--no-special", "--bos auto or no", "--bos yes", ""}, Fault::usage);
  const auto tokenizer = open_tokenizer(options.common.model);
  if (options.repeat > 0) {
    std::string all;
    for (const std::string& text : texts_of(options.text)) all += text;
    return print_speed(*tokenizer, all, options);
  }
  std::vector<Json> results;
  for (std::string& text : texts_of(options.text)) {
    const std::vector<Token> tokens = encode(*tokenizer, std::move(text), options);
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
  declare_pair(app, options->text);
  app.add_option("--max-tokens", options->most, "at most so many with those added; the longer of two texts loses its end first")
      ->check(whole_number(1, 1'000'000'000));
  app.add_option("--repeat", options->repeat, "encode all so many times and print how long it took")->check(whole_number(1, 1'000'000));
  return [options] { run(*options); };
}

}  // namespace

const Command& command_tokenize() {
  static const Command command{"tokenize", "a text as tokens with byte offsets",
                               "vitrine tokenize model.gguf --text 'Hello world'", declare};
  return command;
}

}  // namespace vitrine
