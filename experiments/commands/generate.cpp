#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "experiments/command.h"
#include "experiments/decoding.h"
#include "experiments/grammar_source.h"
#include "experiments/number_range_internal.h"
#include "experiments/output.h"
#include "experiments/scoring.h"
#include "experiments/text_recording.h"
#include "experiments/text_teller.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  DecodingOptions decoding;
  std::size_t texts = 1, texts_a_pass = 8, likeliest = 0;
  std::vector<std::string> stops;
  std::string draft;
  GrammarSource grammar;
  bool chat = false;
  RecordingOptions recording;
  std::string scrub, scrub_rules;
};

bool is_one_text(const Options& options) { return options.texts == 1 && !options.text.many(); }
bool is_streamed(const Options& options) { return is_one_text(options) && !options.common.json && !options.common.csv; }

void require_sense(const Options& options, const Decoding& decoding) {
  if (options.chat && !options.text.text) throw Error({"--chat", "a text given with --text", "none", ""}, Fault::usage);
  if (options.texts > 1 && decoding.search->name == "greedy") {
    throw Error({"--n " + std::to_string(options.texts), "tokens that are drawn (--temperature above 0) or a search that ranks several texts", "--search greedy", ""}, Fault::usage);
  }
  const bool by_token = decoding.search->run_together != nullptr;
  if (!options.stops.empty() && !by_token) throw Error({"--stop", "a search that makes one token after another", "--search " + std::string(decoding.search->name), ""}, Fault::usage);
  if (!options.draft.empty() && decoding.search->name != "speculative") throw Error({"--draft", "--search speculative", std::string(decoding.search->name), ""}, Fault::usage);
  if (options.recording.output.empty() || (by_token && is_one_text(options))) return;
  throw Error({"--record", "one text, made by one token after another", by_token ? "several" : "--search " + std::string(decoding.search->name), ""}, Fault::usage);
}

/// Tells which of the model's own settings are not followed.
void tell_unfollowed(const Session& session, const Options& options) {
  const GenerationDefaults& defaults = session.generation_defaults();
  if (options.common.quiet) return;
  for (const std::string& setting : defaults.unused) std::fprintf(stderr, "vitrine: the model asks for %s, which is not followed\n", setting.c_str());
  if (options.decoding.defaults == "model") return;
  for (const std::string& name : defaults.settings.names()) {
    if (options.decoding.values.has(name)) continue;
    std::fprintf(stderr, "vitrine: the model asks for --%s %s, which --defaults model follows\n", name.c_str(), defaults.settings.to_json()[name].dump().c_str());
  }
}

/// The texts that are to be continued; of an encoder-decoder the sources, and what its decoder begins with.
std::vector<TextPrompt> prompts_of(Session& session, const Options& options, std::vector<InputText>& inputs, Scrubbing& scrubbing) {
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  TextOptions text = options.text;
  if (options.chat && tokenizer && text.text) {
    const ChatMessage message{"user", *text.text};
    text.text = chat_prompt(*tokenizer, {&message, 1});
  }
  inputs = session.read_all(text);
  scrubbing = scrub(options.scrub, options.scrub_rules, session, text, inputs);
  std::vector<TextPrompt> prompts;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    InputText& input = inputs[i];
    TextPrompt& prompt = prompts.emplace_back();
    prompt.bos_rule = input.bos_rule;
    if (scrubbing.on()) prompt.marks = scrubbing.marks[i];
    if (input.tokens.empty()) {
      if (!tokenizer || !tokenizer->special().bos) throw Error({"--text", "at least one token", "none", ""}, Fault::usage);
      input.tokens.push_back({*tokenizer->special().bos, 0, 0});
      if (scrubbing.on()) prompt.marks.push_back(0);
    }
    (session.has_encoder() ? prompt.source : prompt.tokens) = input.tokens;
    if (!session.has_encoder()) continue;
    const std::vector<int>& said = options.text.decoder_ids;
    prompt.tokens = plain_tokens(said.empty() ? session.shifted_right({}) : said);
  }
  require_context(session.model(), inputs);
  return prompts;
}

/// A prompt with all that its texts are made from.
struct Item {
  std::vector<TokenId> ids, source;
  std::optional<KvCache> memory;  // of the source
  std::vector<TextTeller> tellers;
};

/// A draft model means the search that uses it.
DecodingOptions with_draft(const Options& options) {
  DecodingOptions decoding = options.decoding;
  if (decoding.search.empty() && !options.draft.empty()) decoding.search = "speculative";
  return decoding;
}

/// A model that goes ahead of the session's, on the same threads.
struct DraftModel {
  DraftModel(Session& session, const std::string& path)
      : model(load_model(path)), context{model, session.ops(), session.kernel(), workspace, session.run(), taps} {
    require_next_token_model(model);
    vitrine::make_resident(model, session.pool());
  }
  Model model;
  Workspace workspace;
  TapPlan taps;
  ForwardContext context;
};

class Generation {
 public:
  Generation(Session& session, const Options& options) : session_(session), options_(options), decoding_(decoding_of(session, with_draft(options))) {
    require_sense(options, decoding_);
    tell_unfollowed(session, options);
    if (options.grammar.given()) {
      if (!session.model().tokenizer) throw Error({options.common.model, "a tokenizer for --grammar", "none", ""}, Fault::usage);
      grammar_.emplace(read_grammar(options.grammar), *session.model().tokenizer);
    }
    const std::vector<TextPrompt> prompts = prompts_of(session, options, inputs_, scrubbing_);
    RecordingOptions recording = options.recording;
    if (scrubbing_.on() && options.text.text) recording.untold = *options.text.text;
    recording_.emplace(session, recording, prompts.empty() ? TextPrompt{} : prompts.front(), scrubbing_, decoding_.max_tokens);
    for (const TextPrompt& prompt : prompts) {
      items_.push_back({ids_of(prompt.tokens), ids_of(prompt.source), std::nullopt, {}});
      for (std::size_t text = 0; text < options.texts; ++text) items_.back().tellers.emplace_back(session.model().tokenizer.get(), items_.back().ids, options.stops, voice());
    }
  }

  void run() {
    std::optional<DraftModel> draft;
    if (!options_.draft.empty()) draft.emplace(session_, options_.draft);
    draft_ = draft ? &draft->context : nullptr;
    const TapPlan taps = session_.with_interventions(recording_->taps());
    const ForwardContext context{session_.model(), session_.ops(), session_.kernel(), session_.workspace(), session_.run(), taps};
    std::vector<SearchProblem> problems;
    for (std::size_t i = 0; i < items_.size(); ++i) problems.push_back(problem_of(context, i));
    start_ = std::chrono::steady_clock::now();
    if (problems.empty()) {
      // A file without texts has no results.
    } else if (decoding_.search->run_together) {
      results_ = decoding_.search->run_together(problems);
    } else {
      if (decoding_.max_tokens >= worth_making_resident) session_.make_resident();
      for (const SearchProblem& problem : problems) {
        results_.push_back(decoding_.search->run(problem));
        session_.run().step("generate", results_.size(), problems.size());
      }
    }
    seconds_ = seconds_since(start_);
    for (std::size_t i = 0; i < items_.size(); ++i) finish(items_[i], results_[i]);
    recording_->finish();
    print();
    tell_lacks();
  }

 private:
  /// What says a text while it is made, where there is one.
  std::function<void(std::string_view)> voice() const {
    if (!is_streamed(options_)) return {};
    return [](std::string_view words) {
      std::fwrite(words.data(), 1, words.size(), stdout);
      std::fflush(stdout);
    };
  }

  SearchProblem problem_of(const ForwardContext& context, std::size_t i) {
    Item& item = items_[i];
    if (session_.has_encoder()) {
      item.memory.emplace(session_.new_memory());
      const Segment segment{.sequence = static_cast<std::uint32_t>(i), .ids = item.source, .memory = &*item.memory};
      encode(context, {&segment, 1}, {});
    }
    return {.context = context, .kv_format = session_.kv_format(), .source = item.memory ? &*item.memory : nullptr, .prompt = item.ids, .source_ids = item.source,
            .max_tokens = decoding_.max_tokens, .texts = options_.texts, .ends = decoding_.ends, .samplers = decoding_.samplers, .draws_tokens = decoding_.draws_tokens,
            .draws = {options_.common.seed, i * options_.texts}, .values = decoding_.values, .draft = draft_, .tokenizer = session_.model().tokenizer.get(), .grammar = grammar_ ? &*grammar_ : nullptr, .likeliest = options_.likeliest,
            .texts_a_pass = options_.texts_a_pass, .feeds_last_token = recording_->on(),
            .on_token = [this, &item](std::size_t text, const GeneratedToken& token) { return hear(item.tellers[text], token); }};
  }

  bool hear(TextTeller& teller, const GeneratedToken& token) {
    if (first_token_ == 0.0) {
      first_token_ = seconds_since(start_);
      if (decoding_.max_tokens * items_.size() * options_.texts >= worth_making_resident) session_.make_resident();
    }
    recording_->add(token.id);
    return teller.add(token.id);
  }

  void finish(Item& item, std::span<const GeneratedText> texts) const {
    for (std::size_t text = 0; text < texts.size(); ++text) {
      if (!decoding_.search->run_together) {
        for (const GeneratedToken& token : texts[text].tokens) item.tellers[text].add(token.id);
      }
      item.tellers[text].finish();
    }
  }

  /// {"text", "tokens", "ended"}, or {"texts": [...]} of several.
  Json result_of(std::size_t i) const {
    Json texts = Json::array();
    for (std::size_t text = 0; text < results_[i].size(); ++text) {
      texts.push(json_of(results_[i][text], items_[i].tellers[text].text(), session_.model().tokenizer.get()));
    }
    return options_.texts == 1 ? texts.items().front() : Json::object().set("texts", texts);
  }

  /// What nothing else shows: texts that were not found, and a grammar's text that was cut, which is of little use.
  void tell_lacks() const {
    if (options_.common.quiet) return;
    for (std::size_t i = 0; i < results_.size(); ++i) {
      if (results_[i].size() < options_.texts) std::fprintf(stderr, "vitrine: %zu of %zu texts of prompt %zu: no other is allowed\n", results_[i].size(), options_.texts, i + 1);
    }
    std::size_t cut = 0;
    for (const auto& texts : results_) cut += static_cast<std::size_t>(std::ranges::count(texts, false, &GeneratedText::ended));
    if (grammar_ && cut > 0) std::fprintf(stderr, "vitrine: %zu of the texts met --max-tokens or the end of the context before their grammar's end\n", cut);
  }

  Json timings() const {
    std::size_t prompt_tokens = 0, source_tokens = 0, made = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      prompt_tokens += items_[i].ids.size();
      source_tokens += items_[i].source.size();
      for (const GeneratedText& text : results_[i]) made += text.tokens.size();
    }
    const double decode = seconds_ - first_token_;
    Json timings = Json::object().set("prompt_tokens", static_cast<std::uint64_t>(prompt_tokens)).set("prefill_seconds", first_token_);
    if (session_.has_encoder()) timings.set("source_tokens", static_cast<std::uint64_t>(source_tokens));
    if (!is_one_text(options_)) timings.set("seconds", seconds_).set("made_tokens", static_cast<std::uint64_t>(made));
    const bool measured = made > 1 && decode > 0;
    timings.set("decode_tokens_per_second", measured ? Json(static_cast<double>(made - 1) / decode) : Json());
    return measured ? timings : timings.set("reason", "fewer than two tokens were made");
  }

  void print() const {
    if (is_streamed(options_)) return static_cast<void>(std::puts(""));  // it was said as it came
    const Json signature = session_.signature().set("decoding", decoding_.to_json()).set("data_sha256", data_sha256(inputs_));
    std::vector<Json> results;
    for (std::size_t i = 0; i < items_.size(); ++i) results.push_back(result_of(i));
    if (options_.common.json) {
      Json json = options_.text.many() ? sequences_of(std::move(results), signature) : results.front().set("signature", signature);
      std::puts(json.set("timings", timings()).dump(2).c_str());
      return;
    }
    const std::vector<Json> rows = rows_of(results);
    const std::vector<std::string> columns{"id", "sample", "text", "tokens", "logprob", "ended"};
    if (options_.common.csv) return static_cast<void>(std::fputs(csv_of(rows, columns).c_str(), stdout));
    for (const Json& row : rows) std::printf("%s.%s  %s\n", row["id"].dump().c_str(), row["sample"].dump().c_str(), printable(row["text"].string()).c_str());
  }

  /// One row a text.
  std::vector<Json> rows_of(std::span<const Json> results) const {
    std::vector<Json> rows;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const bool several = results[i].has("texts");
      for (std::size_t sample = 0; sample < results_[i].size(); ++sample) {
        const Json& text = several ? results[i]["texts"].items()[sample] : results[i];
        double sum = 0.0;
        for (const Json& token : text["tokens"].items()) sum += token["logprob"].number();
        rows.push_back(Json::object().set("id", static_cast<std::uint64_t>(i)).set("sample", static_cast<std::uint64_t>(sample)).set("text", text["text"])
                           .set("tokens", static_cast<std::uint64_t>(text["tokens"].items().size())).set("logprob", sum).set("ended", text["ended"]));
      }
    }
    return rows;
  }

  Session& session_;
  const Options& options_;
  Decoding decoding_;
  std::vector<InputText> inputs_;
  Scrubbing scrubbing_;
  std::optional<GrammarMatcher> grammar_;
  const ForwardContext* draft_ = nullptr;
  std::optional<TextRecording> recording_;
  std::deque<Item> items_;
  std::vector<std::vector<GeneratedText>> results_;
  std::chrono::steady_clock::time_point start_;
  double first_token_ = 0.0, seconds_ = 0.0;
};

void run(const Options& options) {
  CommonOptions common = options.common;
  common.more_positions = options.decoding.max_tokens;
  Session session(common);
  require_next_token_model(session.model());
  Generation(session, options).run();
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_interventions(app, options->common);
  declare_texts(app, options->text);
  declare_decoder_ids(app, options->text);
  declare_decoding(app, options->decoding);
  declare_grammar(app, options->grammar);
  app.add_option("--n", options->texts, "so many texts for each")->check(whole_number(1, 100'000));
  app.add_option("--batch", options->texts_a_pass, "texts that share a pass (8); under fast precision 8 at the most, for a text must not depend on those beside it")->check(whole_number(1, 512));
  app.add_option("--draft", options->draft, "a smaller model with the same vocabulary, which goes ahead for --search speculative (and means it)");
  app.add_option("--stop", options->stops, "a text that ends what is made, and is cut off. May be given several times")->allow_extra_args(false);
  app.add_option("--logprobs", options->likeliest, "so many of the likeliest tokens of each step in --json (0)")->check(whole_number(0));
  CLI::Option* record = app.add_option("--record", options->recording.output, "record the text while it is made, into this file (HDF5)");
  for (CLI::Option* option : declare_recording(app, options->recording)) option->needs(record);
  declare_scrub(app, options->scrub, options->scrub_rules, "replace personal data in the prompt before the run (not in what the model then makes)");
  app.add_flag("--chat", options->chat, "put the text into the model's chat format (ChatML)");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_generate() {
  static const Command command{"generate", "continue a text", "vitrine generate model.gguf --text 'Once upon' --max-tokens 40 --temperature 0.8 --top-p 0.95",
                               declare};
  return command;
}

}  // namespace vitrine
