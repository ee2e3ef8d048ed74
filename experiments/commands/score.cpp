#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/continuation.h"
#include "experiments/number_range_internal.h"
#include "experiments/output.h"
#include "experiments/scoring.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::size_t window = 0, stride = 0, top = 0;
  std::vector<std::string> continuations;
};

/// A text, what it continues with, and what the model says of them.
struct Item {
  InputText input;
  std::vector<InputText> joined;  // the text with each continuation behind it; beside an encoder the start and the target
  std::vector<Token> said;        // what stands in the decoder beside an encoder, else the text
  std::vector<TokenScore> scores;
  std::vector<std::vector<TokenScore>> joined_scores;
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

Json number(std::size_t value) { return static_cast<std::uint64_t>(value); }

Json text_of(const Session& session, TokenId id) {
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  return tokenizer ? Json(tokenizer->piece(id)) : Json();
}

constexpr const char* not_finite = "numbers of the run overflowed: its logits are not finite";

/// Sum and count of tokens as they are added.
struct Tally {
  Json tokens = Json::array();
  double sum = 0.0;  // nats
  std::size_t scored = 0, bytes = 0;
};

void add(Tally& tally, const Session& session, const Options& options, const Token& token, const TokenScore& score) {
  Json row;
  row.set("id", token.id).set("text", text_of(session, token.id));
  row.set("logprob", score.log_probability ? Json(*score.log_probability) : Json());
  if (!score.log_probability) row.set("reason", "nothing stands before the first token");
  else if (!std::isfinite(*score.log_probability)) row.set("reason", not_finite);
  if (options.top > 0) {
    Json top = Json::array();
    for (const LikelyToken& likely : score.likeliest) {
      top.push(Json::object().set("id", likely.id).set("text", text_of(session, likely.id)).set("logprob", likely.log_probability));
    }
    row.set("top", score.log_probability ? top : Json());
  }
  tally.tokens.push(row);
  if (!score.log_probability) return;
  ++tally.scored;
  tally.sum += *score.log_probability;
  tally.bytes += token.end - token.begin;
}

Json continuation_of(const Session& session, const Options& options, const Item& item, std::size_t index) {
  const InputText& joined = item.joined[index];
  const bool beside = session.has_encoder();
  const ContinuationTokens part = beside ? ContinuationTokens{1, joined.tokens.size()} : continuation_tokens(joined.tokens, item.input.text.size());
  Tally tally;
  for (std::size_t i = part.begin; i < part.end; ++i) add(tally, session, options, joined.tokens[i], item.joined_scores[index][i]);
  Json json;
  json.set("text", options.continuations[index]).set("sum", tally.scored ? Json(tally.sum) : Json());
  if (tally.scored < part.end - part.begin) json.set("reason", "nothing stands before the first token, which the sum leaves out");
  else if (!std::isfinite(tally.sum)) json.set("reason", not_finite);
  json.set("tokens_scored", number(tally.scored)).set("straddles", part.straddles);
  return json.set("tokens", tally.tokens);
}

Json result_of(const Session& session, const Options& options, const Item& item, const Windows& windows) {
  Tally tally;
  std::size_t first_scored = 0;
  for (std::size_t i = item.input.bos_added && !session.has_encoder() ? 1 : 0; i < item.said.size(); ++i) {
    if (tally.scored == 0) first_scored = i;
    add(tally, session, options, item.said[i], item.scores[i]);
  }
  const bool any = tally.scored > 0;
  Json protocol;
  protocol.set("bos", item.input.bos_rule).set("window", number(windows.window)).set("stride", number(windows.stride));
  protocol.set("first_scored", any ? number(first_scored) : Json()).set("unit", "token");
  if (!any) protocol.set("reason", "no token has another before it");
  Json json;
  json.set("tokens", tally.tokens).set("sum", any ? Json(tally.sum) : Json());
  json.set("perplexity", any ? Json(std::exp(-tally.sum / static_cast<double>(tally.scored))) : Json());
  json.set("bits_per_byte", tally.bytes ? Json(-tally.sum / std::log(2.0) / static_cast<double>(tally.bytes)) : Json());
  if (!any) json.set("reason", "no token has another before it");
  else if (!std::isfinite(tally.sum)) json.set("reason", not_finite);
  else if (tally.bytes == 0) json.set("reason", "ids have no bytes");
  json.set("tokens_scored", number(tally.scored)).set("protocol", protocol);
  if (options.continuations.empty()) return json;
  Json continuations = Json::array();
  for (std::size_t c = 0; c < item.joined.size(); ++c) continuations.push(continuation_of(session, options, item, c));
  return json.set("continuations", continuations);
}

/// Beside an encoder the text is its source; what is scored are targets.
void add_targets(const Session& session, const Options& options, Item& item) {
  if (options.continuations.empty() && options.text.decoder_ids.empty()) {
    throw Error({"--continuation", "the target of an encoder-decoder, or --decoder-ids", "none", ""}, Fault::usage);
  }
  if (options.window + options.stride > 0) throw Error({"--window", "none with an encoder-decoder", std::to_string(options.window), ""}, Fault::usage);
  for (const int id : options.text.decoder_ids) item.said.push_back({id, 0, 0});
  if (!options.continuations.empty() && !session.model().tokenizer) {
    throw Error({options.common.model, "a tokenizer", "none", "give the target with --decoder-ids"}, Fault::usage);
  }
  for (const std::string& continuation : options.continuations) {
    InputText target = encode_text(*session.model().tokenizer, continuation, "auto");
    target.tokens.insert(target.tokens.begin(), {session.shifted_right({}).front(), 0, 0});
    item.joined.push_back(std::move(target));
  }
}

std::vector<Item> items_of(const Session& session, const Options& options) {
  std::vector<Item> items;
  for (InputText& input : session.read_all(options.text)) {
    items.push_back({.input = std::move(input), .joined = {}, .said = {}, .scores = {}, .joined_scores = {}});
    Item& item = items.back();
    if (session.has_encoder()) {
      add_targets(session, options, item);
      continue;
    }
    item.said = item.input.tokens;
    for (const std::string& continuation : options.continuations) {
      item.joined.push_back(encode_text(*session.model().tokenizer, item.input.text + continuation, options.text.bos));
    }
  }
  return items;
}

/// Every target beside its source.
Windows score_targets(Session& session, const Options& options, std::vector<Item>& items) {
  std::size_t longest = 0;
  for (Item& item : items) {
    std::vector<std::vector<TokenId>> targets{ids_of(item.said)};
    for (const InputText& joined : item.joined) targets.push_back(ids_of(joined.tokens));
    for (const auto& ids : targets) longest = std::max(longest, ids.size());
    auto scores = target_scores(session, ids_of(item.input.tokens), targets, {.likeliest = options.top});
    item.scores = std::move(scores.front());
    item.joined_scores.assign(std::make_move_iterator(scores.begin() + 1), std::make_move_iterator(scores.end()));
  }
  return {longest, 0};
}

/// Scores every text and every joined text in common passes. Returns the windows that were used.
Windows score(Session& session, const Options& options, std::vector<Item>& items) {
  if (session.has_encoder()) return score_targets(session, options, items);
  std::vector<std::vector<TokenId>> sequences;
  for (const Item& item : items) {
    sequences.push_back(ids_of(item.said));
    for (const InputText& joined : item.joined) sequences.push_back(ids_of(joined.tokens));
  }
  std::size_t longest = 0;
  for (const auto& ids : sequences) longest = std::max(longest, ids.size());
  const Windows windows = windows_of(options, session.model().spec, longest);
  auto scores = windowed_scores(session, sequences, windows, {.likeliest = options.top});
  std::size_t next = 0;
  for (Item& item : items) {
    item.scores = std::move(scores[next++]);
    for (std::size_t c = 0; c < item.joined.size(); ++c) item.joined_scores.push_back(std::move(scores[next++]));
  }
  return windows;
}

/// "top_1", "top_1_logprob", ... beside the token's own columns.
std::string tokens_csv(const Json& tokens, std::size_t top) {
  std::vector<std::string> columns{"position", "id", "text", "logprob"};
  for (std::size_t k = 1; k <= top; ++k) {
    for (const char* part : {"", "_logprob"}) columns.push_back("top_" + std::to_string(k) + part);
  }
  std::vector<Json> rows;
  for (const Json& token : tokens.items()) {
    Json row = Json::object().set("position", number(rows.size()));
    for (const auto& [name, value] : token.members()) row.set(name, value);
    for (std::size_t k = 0; token["top"].is_array() && k < token["top"].items().size(); ++k) {
      const Json& likely = token["top"].items()[k];
      const std::string name = "top_" + std::to_string(k + 1);
      row.set(name, likely["text"].is_null() ? likely["id"] : likely["text"]).set(name + "_logprob", likely["logprob"]);
    }
    rows.push_back(std::move(row));
  }
  return csv_of(rows, columns);
}

std::string readable(const Json& token) {
  return token["text"].is_string() ? printable(token["text"].string()) : token["id"].dump();
}

std::string decimal(const Json& number) { return number.is_null() ? "-" : std::to_string(number.number()); }

void print_tokens(const Json& result) {
  for (const Json& row : result["tokens"].items()) {
    std::printf("%10s  %s", decimal(row["logprob"]).c_str(), readable(row).c_str());
    if (row["top"].is_array()) std::printf("   [");
    for (std::size_t k = 0; row["top"].is_array() && k < row["top"].items().size(); ++k) {
      const Json& likely = row["top"].items()[k];
      const std::string text = likely["text"].is_string() ? quoted(likely["text"].string()) : likely["id"].dump();
      std::printf("%s%s %.3f", k > 0 ? ", " : "", text.c_str(), likely["logprob"].number());
    }
    std::puts(row["top"].is_array() ? "]" : "");
  }
  std::printf("sum %s nats, perplexity %s per token over %s tokens (bos: %s)\n", result["sum"].dump().c_str(), result["perplexity"].dump().c_str(),
              result["tokens_scored"].dump().c_str(), result["protocol"]["bos"].string().c_str());
}

/// One row a text, or one row a continuation of a text.
void print_rows(const Options& options, std::span<const Json> results) {
  std::vector<std::string> columns{"id", "sum", "perplexity", "bits_per_byte", "tokens_scored"};
  if (!options.continuations.empty()) columns = {"id", "continuation", "text", "sum", "tokens_scored", "straddles"};
  std::vector<Json> rows;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (options.continuations.empty()) rows.push_back(Json(results[i]).set("id", number(i)));
    for (std::size_t c = 0; c < options.continuations.size(); ++c) {
      rows.push_back(Json(results[i]["continuations"].items()[c]).set("id", number(i)).set("continuation", number(c)));
    }
  }
  if (options.common.csv) {
    std::fputs(csv_of(rows, columns).c_str(), stdout);
    return;
  }
  const bool texts = options.continuations.empty();
  std::printf("%6s %12s %12s %7s\n", "id", "sum [nats]", texts ? "perplexity" : "straddles", "tokens");
  for (const Json& row : rows) {
    std::printf("%6s %12s %12s %7s", row["id"].dump().c_str(), decimal(row["sum"]).c_str(),
                texts ? decimal(row["perplexity"]).c_str() : row["straddles"].boolean() ? "yes" : "no", row["tokens_scored"].dump().c_str());
    std::printf("%s\n", texts ? "" : ("  " + printable(row["text"].string())).c_str());
  }
}

/// What is wrong with the options, before and after the model is known.
void require_sense(const Options& options) {
  require_one_source(options.text);
  if (options.continuations.empty()) return;
  if (!options.text.ids.empty()) throw Error({"--continuation", "a text to continue", "--ids", "give it with --text or --file"}, Fault::usage);
  for (const std::string& continuation : options.continuations) {
    if (continuation.empty()) throw Error({"--continuation", "at least one byte", "an empty text", ""}, Fault::usage);
  }
}

void run(const Options& options) {
  require_sense(options);
  Session session(options.common);
  require_next_token_model(session.model());
  const std::size_t vocabulary = session.model().spec.vocabulary;
  if (options.top > vocabulary) {
    throw Error({"--top", "at most " + std::to_string(vocabulary) + " (the vocabulary)", std::to_string(options.top), ""}, Fault::usage);
  }
  std::vector<Item> items = items_of(session, options);
  const Windows windows = score(session, options, items);
  std::vector<Json> results;
  for (const Item& item : items) results.push_back(result_of(session, options, item, windows));
  if (options.common.json) {
    std::vector<InputText> inputs;
    for (Item& item : items) inputs.push_back(std::move(item.input));
    print_json(session, options.text, inputs, std::move(results));
  } else if (options.text.many() || !options.continuations.empty()) {
    print_rows(options, results);
  } else if (options.common.csv) {
    std::fputs(tokens_csv(results.front()["tokens"], options.top).c_str(), stdout);
  } else {
    print_tokens(results.front());
  }
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_interventions(app, options->common);
  declare_texts(app, options->text);
  declare_decoder_ids(app, options->text);
  app.add_option("--window", options->window, "tokens of a window (the model's context); longer texts are scored in windows")->check(whole_number(2));
  app.add_option("--stride", options->stride, "tokens from window to window (half of it)")->check(whole_number(1));
  app.add_option("--continuation", options->continuations, "text behind the text, whose sum given the text is wanted; may be repeated. A token that straddles the border counts with it")
      ->allow_extra_args(false);
  app.add_option("--top", options->top, "for each token, so many of the likeliest tokens at its place")->check(whole_number(0));
  return [options] { run(*options); };
}

}  // namespace

const Command& command_score() {
  static const Command command{"score", "log-probability of every token of a text, and its perplexity",
                               "vitrine score model.gguf --text 'The cat sat on the mat.' --json", declare};
  return command;
}

}  // namespace vitrine
