#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "experiments/command.h"
#include "experiments/generation.h"
#include "experiments/number_range_internal.h"
#include "experiments/recording_options.h"
#include "experiments/scoring.h"
#include "experiments/scrubbing.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::size_t max_tokens = 64;
  float temperature = 0.0f, top_p = 1.0f;
  bool chat = false;
  RecordingOptions recording;
  std::string scrub, scrub_rules;
};

/// What the decoder begins with beside a source.
std::vector<TokenId> start_of(const Session& session, const Options& options, const InputText& source) {
  for (const std::string& setting : session.generation_defaults().unused) {
    if (!options.common.quiet) std::fprintf(stderr, "vitrine: the model asks for %s, which is not followed\n", setting.c_str());
  }
  require_context(session.model(), {&source, 1});
  return options.text.decoder_ids.empty() ? session.shifted_right({}) : options.text.decoder_ids;
}

/// The text as it comes, never half a character; ids where the model has no tokenizer.
class Telling {
 public:
  /// @param prompt  what stands before: a space that belongs to the first token is said unless the text begins with it
  Telling(const Tokenizer* tokenizer, std::span<const TokenId> prompt, bool aloud) : tokenizer_(tokenizer), aloud_(aloud) {
    if (!tokenizer) return;
    stream_.emplace(*tokenizer);
    for (const TokenId id : prompt.last(std::min<std::size_t>(prompt.size(), 8))) stream_->push(id);
  }
  void add(const GeneratedToken& token) {
    say(tokenizer_ ? stream_->push(token.id) : std::to_string(token.id) + " ");
    const std::string piece = tokenizer_ ? tokenizer_->piece(token.id) : std::to_string(token.id);
    tokens_.push(Json::object().set("id", token.id).set("text", piece).set("logprob", token.log_probability));
  }
  void finish() {
    if (stream_) say(stream_->finish());
  }
  const std::string& text() const { return text_; }
  const Json& tokens() const { return tokens_; }

 private:
  void say(const std::string& words) {
    text_ += words;
    if (!aloud_) return;
    std::fwrite(words.data(), 1, words.size(), stdout);
    std::fflush(stdout);
  }

  const Tokenizer* tokenizer_;
  bool aloud_;
  std::optional<TokenStream> stream_;
  std::string text_;
  Json tokens_ = Json::array();
};

struct Prompt {
  std::vector<Token> tokens;  // before the first new token
  std::vector<Token> source;  // of an encoder-decoder
  std::string bos_rule;
  Scrubbing scrubbing;
};

Prompt prompt_of(Session& session, const Options& options) {
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  TextOptions text = options.text;
  if (options.chat && tokenizer && text.text) {
    const ChatMessage message{"user", *text.text};
    text.text = chat_prompt(*tokenizer, {&message, 1});
  }
  std::vector<InputText> inputs = session.read_all(text);
  Scrubbing scrubbing = scrub(options.scrub, options.scrub_rules, session, text, inputs);
  InputText& input = inputs.front();
  if (input.tokens.empty()) {
    if (!tokenizer || !tokenizer->special().bos) throw Error({"--text", "at least one token", "none", ""}, Fault::usage);
    input.tokens.push_back({*tokenizer->special().bos, 0, 0});
    if (scrubbing.on()) scrubbing.marks.front().push_back(0);
  }
  if (!session.has_encoder()) return {std::move(input.tokens), {}, input.bos_rule, std::move(scrubbing)};
  return {plain_tokens(start_of(session, options, input)), std::move(input.tokens), input.bos_rule, std::move(scrubbing)};
}

/// Records a text while it is made: `--record`.
class Recorded {
 public:
  Recorded(Session& session, const Options& options, const Prompt& prompt) : model_(session.model()), text_bytes_(prompt.tokens.back().end) {
    if (options.recording.output.empty()) return;
    RecordingOptions recording = options.recording;
    if (prompt.scrubbing.on() && options.text.text) recording.untold = *options.text.text;
    RecorderOptions settings = recorder_options(session, recording, prompt.bos_rule);
    settings.scrub_labels = prompt.scrubbing.labels;
    marks_new_tokens_ = prompt.scrubbing.on() && prompt.source.empty();
    if (prompt.scrubbing.on()) settings.provenance.set("scrub", prompt.scrubbing.to_json());
    settings.readers = readers_of(options.recording);
    settings.expected_rows = rows_ = prompt.tokens.size();
    settings.expected_rows += options.max_tokens;
    settings.longest_sequence = std::max(settings.expected_rows, prompt.source.size());
    recorder_ = Recorder::create({model_, session.kernel(), session.ops()}, std::move(settings));
    recorder_->begin_sequence(prompt.tokens, prompt.source);
    if (prompt.scrubbing.on()) recorder_->mark_scrubbed(prompt.scrubbing.marks.front());
    Observer* observers[] = {recorder_.get()};
    taps_ = TapPlan(model_.spec, observers);
  }
  const TapPlan& taps() const { return taps_; }

  /// A token that goes into the model next, unless its context is full.
  void add(TokenId id) {
    if (!recorder_ || (model_.spec.context > 0 && rows_ >= model_.spec.context)) return;
    const std::size_t begin = text_bytes_;
    text_bytes_ += model_.tokenizer ? model_.tokenizer->piece(id).size() : 0;
    const Token token{id, begin, text_bytes_};
    recorder_->extend_sequence({&token, 1});
    constexpr std::int32_t no_placeholder = 0;  // of the prompt's: what the model makes is not looked at
    if (marks_new_tokens_) recorder_->mark_scrubbed({&no_placeholder, 1});
    last_ = id;
    ++rows_;
  }
  /// The last token is part of the text; nobody has put it into the model yet.
  void finish(const ForwardContext& context, const TextCaches& caches) {
    if (!recorder_) return;
    if (caches.own.length() < rows_) {
      const Segment segment{.ids = {&last_, 1}, .cache = &caches.own, .memory = caches.source};
      forward(context, {&segment, 1}, {});
    }
    recorder_->end_sequence();
    recorder_->finish();
  }

 private:
  const Model& model_;
  std::unique_ptr<Recorder> recorder_;
  TapPlan taps_;
  std::size_t rows_ = 0, text_bytes_;
  TokenId last_ = 0;
  bool marks_new_tokens_ = false;
};

void run(const Options& options) {
  CommonOptions common = options.common;
  common.more_positions = options.max_tokens;
  Session session(common);
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  require_next_token_model(session.model());
  const Prompt prompt = prompt_of(session, options);
  KvCache cache = session.new_cache();
  Recorded recorded(session, options, prompt);
  const std::vector<TokenId> ids = ids_of(prompt.tokens), source = ids_of(prompt.source);
  if (session.has_encoder()) session.encode_batch({&source, 1}, recorded.taps(), {});
  const TextCaches caches(cache, session.has_encoder() ? &session.memory(0) : nullptr);
  const TapPlan taps = session.with_interventions(recorded.taps());
  const ForwardContext context{session.model(), session.ops(), session.kernel(), session.workspace(), session.run(), taps};
  const auto start = std::chrono::steady_clock::now();
  double first_token = 0.0;
  Telling telling(tokenizer, ids, !options.common.json);
  const auto on_token = [&](const GeneratedToken& token) {
    if (first_token == 0.0) {
      first_token = seconds_since(start);
      if (options.max_tokens >= worth_making_resident) session.make_resident();
    }
    telling.add(token);
    recorded.add(token.id);
  };
  const GenerateOptions how = generation_options(session, {options.max_tokens, options.temperature, options.top_p, options.common.seed});
  const std::size_t made = generate(context, caches, ids, how, on_token).size();
  telling.finish();
  const double decode = seconds_since(start) - first_token;
  recorded.finish(context, caches);
  if (!options.common.json) return static_cast<void>(std::puts(""));
  Json timings;
  timings.set("prompt_tokens", static_cast<std::uint64_t>(ids.size())).set("prefill_seconds", first_token);
  if (session.has_encoder()) timings.set("source_tokens", static_cast<std::uint64_t>(source.size()));
  timings.set("decode_tokens_per_second", made > 1 && decode > 0 ? Json(static_cast<double>(made - 1) / decode) : Json());
  if (made <= 1 || decode <= 0) timings.set("reason", "fewer than two tokens were made");
  std::puts(Json::object().set("text", telling.text()).set("tokens", telling.tokens()).set("timings", timings)
                .set("signature", session.signature()).dump(2).c_str());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common(app, options->common);
  declare_interventions(app, options->common);
  declare_text(app, options->text);
  declare_decoder_ids(app, options->text);
  app.add_option("--max-tokens", options->max_tokens, "how many tokens at the most")->check(whole_number(0));
  app.add_option("--temperature", options->temperature, "0 (default) = greedy");
  app.add_option("--top-p", options->top_p, "nucleus sampling");
  CLI::Option* record = app.add_option("--record", options->recording.output, "record the text while it is made, into this file (HDF5)");
  for (CLI::Option* option : declare_recording(app, options->recording)) option->needs(record);
  declare_scrub(app, options->scrub, options->scrub_rules, "replace personal data in the prompt before the run (not in what the model then makes)");
  app.add_flag("--chat", options->chat, "put the text into the model's chat format (ChatML)");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_generate() {
  static const Command command{"generate", "continue a text", "vitrine generate model.gguf --text 'Once upon' --max-tokens 40",
                               declare};
  return command;
}

}  // namespace vitrine
