#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/grid_text.h"
#include "experiments/number_range_internal.h"
#include "experiments/output.h"
#include "experiments/patch_pairs.h"
#include "probes/figures/figure_text.h"
#include "probes/attribution/attribution.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::string method = "integrated_gradients", target, against, svg;
  std::optional<std::string> baseline;
  std::optional<int> target_id, against_id;
  std::optional<std::size_t> position;
  std::optional<std::size_t> steps;
  std::size_t gradients = 600;
  bool log_probability = false;
};

/// The likeliest token at the position.
TokenId likeliest(const ModelRunner& runner, const ModelText& text, std::size_t position) {
  TokenId best = 0;
  ForwardSinks sinks{.logit_rows = LogitRows::wanted, .wants_logits = [position](const RowRef& row) { return row.position == position; }};
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) {
    best = static_cast<TokenId>(std::max_element(&logits(0, 0), &logits(0, 0) + logits.extent(1)) - &logits(0, 0));
  };
  run_texts(runner, {&text, 1}, {}, sinks);
  return best;
}

/// A word as a token of the model, or an id as it is.
std::optional<TokenId> token_of(const Session& session, const Options& options, const std::string& word, const std::optional<int>& id) {
  if (id && !word.empty()) throw Error({"--target, --against", "a word or an id of each", "both", ""}, Fault::usage);
  if (id) return *id;
  if (word.empty()) return {};
  if (!session.model().tokenizer || !options.text.ids.empty()) throw Error({"--target", "an id (--target-id, --against-id) where the text is given as ids", quoted(word), ""}, Fault::usage);
  return answer_token(session, texts_of(options.text).front(), word, {options.text, options.position, Stack::only});
}

AttributionQuestion question_of(Session& session, const Options& options, const InputText& input) {
  AttributionQuestion question;
  question.text = std::move(session.model_texts({&input, 1}, options.text).front());
  if (question.text.ids.empty()) throw Error({"--text", "at least one token", "none", ""}, Fault::usage);
  question.position = options.position.value_or(question.text.ids.size() - 1);
  if (!session.model().spec.has_head) throw Error({session.model().path.string(), "a model with token logits", "none", "choose another model"});
  if (!options.position && !session.model().spec.causal()) {
    throw Error({"--position", "the row whose logits are read, of a model that sees both sides", "none", "name the mask's place"}, Fault::usage);
  }
  if (question.position < question.text.ids.size() && session.model().spec.has_head) {
    const std::optional<TokenId> target = token_of(session, options, options.target, options.target_id);
    question.target = target ? *target : likeliest(session.runner(), question.text, question.position);
  }
  question.against = token_of(session, options, options.against, options.against_id).value_or(-1);
  if (question.against == question.target) throw Error({"--against", "another token than --target", std::to_string(question.against), ""}, Fault::usage);
  question.number = options.log_probability ? AttributedNumber::log_probability : AttributedNumber::logit;
  return question;
}

AttributionOptions settings_of(const Options& options) {
  AttributionOptions settings{.steps = options.steps, .most_gradients = options.gradients};
  const std::string word = options.baseline.value_or("mean");
  if (word == "zero") {
    settings.baseline = BaselineKind::zero;
  } else if (word != "mean") {
    settings.baseline = BaselineKind::token;
    std::size_t end = 0;
    try {
      settings.baseline_token = std::stoi(word, &end);
    } catch (const std::exception&) {
      end = 0;
    }
    if (end != word.size()) throw Error({"--baseline", "mean, zero or a token id", quoted(word), ""}, Fault::usage);
  }
  return settings;
}

/// What a method would not look at must not seem to have been followed.
void refuse_ignored(const Options& options) {
  struct Ignored {
    const char* flag;
    bool given;
    std::vector<std::string_view> by;
  };
  const Ignored all[] = {{"--steps", options.steps.has_value(), {"gradient", "gradient_input", "deeplift", "occlusion", "value_zeroing"}},
                         {"--baseline", options.baseline.has_value(), {"gradient", "value_zeroing"}},
                         {"--against, --against-id", !options.against.empty() || options.against_id.has_value(), {"value_zeroing"}},
                         {"--target, --target-id", !options.target.empty() || options.target_id.has_value(), {"value_zeroing"}},
                         {"--log-probability", options.log_probability, {"value_zeroing"}}};
  for (const Ignored& option : all) {
    if (!option.given || std::ranges::find(option.by, options.method) == option.by.end()) continue;
    throw Error({option.flag, "a method that follows it", "--method " + options.method + ", which does not", "leave it out"}, Fault::usage);
  }
}

std::string piece(const Session& session, TokenId id) { return session.model().tokenizer ? printable(session.model().tokenizer->piece(id)) : std::to_string(id); }

/// The tokens that scores are of.
const std::vector<TokenId>& scored(const Session& session, const AttributionQuestion& question) {
  return session.has_encoder() ? question.text.source : question.text.ids;
}

constexpr const char* incomplete_note = "more than 5% are left over: the scores do not explain the difference; leave out --steps, take another --baseline, more --gradients, or --method deeplift, which adds up";

bool is_incomplete(const AttributionResult& result) { return result.rest && std::abs(*result.rest) > 0.05 * std::abs(result.value - *result.baseline); }

constexpr const char* unsettled_note = "single scores may still move by what stands behind \u00b1 (doubt): take more --gradients, or --method deeplift, which takes no integral";

/// Whether what scores may move by is more than a twentieth of the largest.
bool is_unsettled(const AttributionResult& result) {
  double largest = 0.0, doubt = 0.0;
  for (const double score : result.scores) largest = std::max(largest, std::abs(score));
  for (const double each : result.doubts) doubt = std::max(doubt, each);
  return doubt > 0.05 * largest;
}

Json to_json(const Session& session, const Attribution& method, const AttributionQuestion& question, const AttributionResult& result) {
  const auto token = [&](TokenId id) {
    return Json::object().set("id", id).set("text", session.model().tokenizer ? Json(session.model().tokenizer->piece(id)) : Json());
  };
  Json tokens = Json::array();
  const std::vector<TokenId>& ids = scored(session, question);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Json row = token(ids[i]).set("position", static_cast<std::uint64_t>(i)).set("score", result.scores[i]);
    tokens.push(result.doubts.empty() ? row : row.set("doubt", result.doubts[i]));
  }
  Json json;
  json.set("method", method.name).set("unit", method.unit).set("position", static_cast<std::uint64_t>(question.position)).set("target", token(question.target));
  json.set("against", question.against < 0 ? Json() : token(question.against));
  json.set("number", question.number == AttributedNumber::logit ? "logit" : "log_probability").set("value", result.value);
  json.set("baseline", result.baseline ? Json(*result.baseline) : Json()).set("rest", result.rest ? Json(*result.rest) : Json());
  if (!result.baseline) json.set("baseline_reason", "this method's scores do not add up to a difference");
  if (!result.rest) json.set("rest_reason", "this method's scores do not add up to a difference");
  json.set("gradients", result.gradients ? Json(static_cast<std::uint64_t>(*result.gradients)) : Json()).set("by_secants", result.by_secants);
  if (is_incomplete(result)) json.set("note", incomplete_note);
  else if (is_unsettled(result)) json.set("note", unsettled_note);
  return json.set("tokens", tokens).set("signature", session.signature());
}

void print(const Session& session, const Attribution& method, const AttributionQuestion& question, const AttributionResult& result) {
  const bool colours = isatty(STDOUT_FILENO) != 0;
  std::string what = std::string(question.number == AttributedNumber::logit ? "logit" : "log-probability") + " of " + quoted(piece(session, question.target));
  if (question.against >= 0) what += " less that of " + quoted(piece(session, question.against));
  std::printf("%s, %s at position %zu: %.4f\n", std::string(method.name).c_str(), what.c_str(), question.position, result.value);
  double largest = 0.0;
  for (const double score : result.scores) largest = std::max(largest, std::abs(score));
  const std::vector<TokenId>& ids = scored(session, question);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const double score = result.scores[i];
    const auto length = largest > 0.0 ? static_cast<std::size_t>(std::lround(30.0 * std::abs(score) / largest)) : 0;
    const char *begin = !colours ? "" : score < 0 ? "\033[34m" : "\033[31m", *end = colours ? "\033[0m" : "";
    const std::string doubt = result.doubts.empty() ? "" : format(" \u00b1 %-9.2g", result.doubts[i]);
    std::printf("%5zu %11.4f%s  %s%-30s%s  %s\n", i, score, doubt.c_str(), begin, std::string(length, score < 0 ? '-' : '+').c_str(), end, piece(session, ids[i]).c_str());
  }
  std::printf("scores in %s", std::string(method.unit).c_str());
  if (result.baseline && result.rest) std::printf("; %.4f with the baseline, %.2g of the difference left over", *result.baseline, *result.rest);
  if (result.gradients) std::printf("; %zu gradients", *result.gradients);
  if (result.by_secants > 0.0) std::printf(", secants on %.1f%% of the way", 100 * result.by_secants);
  std::puts("");
  if (is_incomplete(result)) std::puts(incomplete_note);
  else if (is_unsettled(result)) std::puts(unsettled_note);
}

void run(const Options& options) {
  const Attribution& method = find_attribution(options.method);
  if (options.text.many()) throw Error({"--lines", "one text", "a file of many", "use --text, --file or --ids"}, Fault::usage);
  refuse_ignored(options);
  const AttributionOptions settings = settings_of(options);
  Session session(options.common);
  const AttributionQuestion question = question_of(session, options, session.read(options.text));
  const ModelRunner runner = session.runner();
  const AttributionResult result = attribute(method, {runner, question, settings});
  if (!options.svg.empty()) {
    AnalysisGrid grid{.title = std::string(method.name), .row_axis = "", .column_axis = "token", .unit = std::string(method.unit), .row_labels = {""}, .column_labels = {}, .values = result.scores};
    for (const TokenId id : scored(session, question)) grid.column_labels.push_back(piece(session, id));
    write_grids({&grid, 1}, options.svg, "attribute-" + std::string(method.name));
  }
  if (options.common.json) {
    std::puts(to_json(session, method, question, result).dump(2).c_str());
  } else {
    print(session, method, question, result);
  }
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_exact_common(app, options->common);
  declare_shortcuts(app, options->common);
  declare_text(app, options->text);
  declare_decoder_ids(app, options->text);
  app.add_option("--method", options->method, "integrated_gradients (default), gradient, gradient_input, deeplift, occlusion, value_zeroing; see `vitrine list attributions`");
  app.add_option("--target", options->target, "the word whose logit is explained, one token: ' Paris' (default: the likeliest)");
  app.add_option("--against", options->against, "a word whose logit is taken off");
  app.add_option("--target-id", options->target_id, "the same by its id");
  app.add_option("--against-id", options->against_id, "the same by its id");
  app.add_option("--position", options->position, "the row whose logits are read (default: the last)");
  app.add_option("--steps", options->steps, "points of a fixed integral over the whole way, as captum takes (default: cuts until scores add up)")->check(whole_number(1, 1000));
  app.add_option("--gradients", options->gradients, "most derivatives that cuts may take (600); secants stand for the pieces that still miss")->check(whole_number(8, 1000000));
  app.add_option("--baseline", options->baseline, "what stands for a missing token: mean of the embeddings (default), zero, or a token id");
  app.add_flag("--log-probability", options->log_probability, "explain log P(target) in nats, not its logit");
  app.add_option("--svg", options->svg, "a folder for the picture");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_attribute() {
  static const Command command{"attribute", "how much each token of a text adds to a logit, in f32",
                               "vitrine attribute model.gguf --text 'The capital of France is' --target ' Paris' --against ' Madrid'", declare};
  return command;
}

}  // namespace vitrine
