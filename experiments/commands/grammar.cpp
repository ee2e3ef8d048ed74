#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/decode/grammar/json_schema.h"
#include "core/decode/grammar/matcher.h"
#include "core/decode/grammar/random_text.h"
#include "core/model/tokenizer_of.h"
#include "experiments/command.h"
#include "experiments/grammar_source.h"
#include "experiments/number_range_internal.h"
#include "experiments/texts.h"

namespace vitrine {
namespace {

struct Options {
  GrammarSource source;
  std::vector<std::string> texts;
  std::string file, model;
  std::size_t count = 1, budget = 200;
  std::uint64_t seed = 0;
  bool json = false;
};

std::vector<std::string> texts_of(const Options& options) {
  if (options.texts.empty() == options.file.empty()) throw Error({"--text or --file", "one of them", "neither or both", ""}, Fault::usage);
  return options.file.empty() ? options.texts : std::vector<std::string>{read_file("--file", options.file)};
}

void check(const Options& options) {
  const Grammar grammar = read_grammar(options.source);
  Json rows = Json::array();
  bool all = true;
  for (const std::string& text : texts_of(options)) {
    const GrammarVerdict verdict = check_text(grammar, text);
    all &= verdict.accepted;
    Json row = Json::object().set("text", text).set("accepted", verdict.accepted);
    if (!verdict.accepted) row.set("bytes", static_cast<std::uint64_t>(verdict.bytes)).set("reason", verdict.unfinished ? "unfinished" : "refused");
    rows.push(row);
    if (options.json) continue;
    if (verdict.accepted) std::puts("accepted");
    else if (verdict.unfinished) std::printf("refused: the text ends before the grammar does, behind byte %zu\n", verdict.bytes);
    else std::printf("refused at byte %zu: %s\n", verdict.bytes, quoted(text.substr(verdict.bytes, 20)).c_str());
  }
  if (options.json) std::puts(Json::object().set("texts", rows).dump(2).c_str());
  if (!all) throw AnsweredNo{};
}

void show(const Options& options) {
  const std::string text = grammar_text(options.source);
  static_cast<void>(parse_grammar(options.source, text));  // refused where it is none
  if (options.json) std::puts(Json::object().set("grammar", text).dump(2).c_str());
  else std::fputs(text.c_str(), stdout);
}

void sample(const Options& options) {
  const Grammar grammar = read_grammar(options.source);
  const auto tokenizer = options.model.empty() ? nullptr : open_tokenizer(options.model);
  const auto vocabulary = tokenizer ? std::make_shared<const GrammarVocabulary>(*tokenizer) : nullptr;
  Json rows = Json::array();
  for (std::size_t i = 0; i < options.count; ++i) {
    std::mt19937_64 random(options.seed + i);
    const std::string text = tokenizer ? random_text(GrammarMatcher(grammar, *tokenizer, vocabulary), *vocabulary, options.budget, random)
                                       : random_text(grammar, options.budget, random);
    if (options.json) rows.push(text);
    else std::puts(text.c_str());
  }
  if (options.json) std::puts(Json::object().set("texts", rows).set("seed", options.seed).dump(2).c_str());
}

Json summary_of(std::vector<double> microseconds) {
  std::ranges::sort(microseconds);
  const double count = static_cast<double>(microseconds.size());
  const auto at = [&](double part) { return microseconds[static_cast<std::size_t>(part * (count - 1))]; };
  const double mean = std::accumulate(microseconds.begin(), microseconds.end(), 0.0) / count;
  return Json::object().set("median", at(0.5)).set("mean", mean).set("p99", at(0.99)).set("largest", at(1.0));
}

/// What holding a model with this vocabulary to a grammar costs: a text of the grammar, token by token, the first time and again.
void time_steps(const Options& options) {
  const Grammar grammar = read_grammar(options.source);
  const auto tokenizer = open_tokenizer(options.model);
  auto begin = std::chrono::steady_clock::now();
  const auto vocabulary = std::make_shared<const GrammarVocabulary>(*tokenizer);
  Json result = Json::object().set("vocabulary", static_cast<std::uint64_t>(vocabulary->size())).set("vocabulary_milliseconds", 1e3 * seconds_since(begin));
  const GrammarMatcher start(grammar, *tokenizer, vocabulary);
  const std::vector<Token> tokens = tokenizer->encode(texts_of(options).front(), {.add_special = false, .parse_special = false});
  if (tokens.empty()) throw Error({"--text or --file", "a text", "none", ""}, Fault::usage);
  std::vector<double> accept[2], mask[2];  // of the first pass, of the later ones
  std::vector<float> logits(vocabulary->size());
  for (std::size_t pass = 0; pass <= options.count; ++pass) {
    GrammarMatcher matcher = start;
    for (const Token& token : tokens) {
      begin = std::chrono::steady_clock::now();
      if (!matcher.accepts(token.id)) throw Error({"--text", "a text of the grammar", quoted(tokenizer->piece(token.id)) + " at byte " + std::to_string(token.begin), ""});
      const double asked = seconds_since(begin);
      logits.assign(logits.size(), 0.0f);
      begin = std::chrono::steady_clock::now();
      matcher.mask(logits);
      mask[pass > 0].push_back(1e6 * seconds_since(begin));
      begin = std::chrono::steady_clock::now();
      matcher.accept(token.id);
      accept[pass > 0].push_back(1e6 * (asked + seconds_since(begin)));
    }
  }
  result.set("tokens", static_cast<std::uint64_t>(tokens.size()));
  for (const auto& [name, times] : {std::pair{"accept_first", accept[0]}, std::pair{"accept_again", accept[1]}, std::pair{"mask_first", mask[0]}, std::pair{"mask_again", mask[1]}}) {
    const Json row = summary_of(times);
    result.set(std::string(name) + "_microseconds", row);
    if (!options.json) std::printf("%-13s median %9.2f  mean %9.2f  99%% %9.2f  largest %9.2f microseconds\n", name, row["median"].number(), row["mean"].number(), row["p99"].number(), row["largest"].number());
  }
  if (options.json) std::puts(result.dump(2).c_str());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto action = std::make_shared<std::function<void()>>();
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* summary, void (*run)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, summary);
    declare_grammar(*sub, options->source);
    sub->add_flag("--json", options->json, "print JSON");
    sub->callback([options, action, run] { *action = [options, run] { run(*options); }; });
    return sub;
  };
  const auto with_text = [&](CLI::App* sub) {
    sub->add_option("--text", options->texts, "the text; several are checked one by one")->allow_extra_args(false);
    sub->add_option("--file", options->file, "a file with the text, - for the standard input");
    return sub;
  };
  with_text(add("check", "does a text follow a grammar; where not, at which byte it leaves it", check));
  add("show", "the grammar as GBNF: what a schema becomes", show);
  CLI::App* sampling = add("sample", "random texts of a grammar, without a model", sample);
  sampling->add_option("--seed", options->seed, "of the random numbers");
  sampling->add_option("--count", options->count, "how many texts")->check(whole_number(1, 1'000'000));
  sampling->add_option("--budget", options->budget, "bytes (with --model tokens) after which the shortest way to an end is taken")->check(whole_number(0, 1'000'000));
  sampling->add_option("--model", options->model, "a model whose tokens the steps are, through the masks that generate uses");
  CLI::App* timing = with_text(add("time", "what following a grammar costs a model, token by token", time_steps));
  timing->add_option("--model", options->model, "whose vocabulary")->required();
  timing->add_option("--count", options->count, "passes behind the first")->check(whole_number(1, 1'000'000));
  return [action] { (*action)(); };
}

}  // namespace

const Command& command_grammar() {
  static const Command command{"grammar", "checks texts against a grammar or JSON schema, shows it, makes random texts of it",
                               "vitrine grammar check --schema person.schema.json --text '{\"name\": \"Ada\"}'", declare};
  return command;
}

}  // namespace vitrine
