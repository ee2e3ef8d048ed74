#include "python/loaded_model_internal.h"

#include <chrono>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "experiments/decoding.h"
#include "experiments/model_description.h"
#include "experiments/recording_options.h"
#include "experiments/scoring.h"
#include "experiments/text_teller.h"

namespace py = pybind11;

namespace vitrine {
namespace {

LogitRows logit_rows_of(const std::string& word, const Model& model) {
  if (word == "none") return LogitRows::none;
  if (word != "all" && word != "last") throw Error({"logits", "all, last or none", quoted(word), ""}, Fault::usage);
  if (!model.spec.has_head) throw Error({"logits", "a model with a language-model head", model.spec.architecture, "record points instead"}, Fault::usage);
  return word == "all" ? LogitRows::all : LogitRows::last;
}

/// The length of texts that share an axis. @throws Error (usage) naming the first that differs
std::size_t one_length(const std::vector<std::vector<TokenId>>& texts, const char* what) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) throw Error({std::string(what) + " " + std::to_string(i) + " (counted from 0)", "at least one token", "none", ""}, Fault::usage);
    if (texts[i].size() == texts[0].size()) continue;
    throw Error({std::string(what) + " " + std::to_string(i) + " (counted from 0)", std::to_string(texts[0].size()) + " tokens, as the first has",
                 std::to_string(texts[i].size()), "there is no padding: give texts of different lengths one by one"}, Fault::usage);
  }
  return texts[0].size();
}

/// Maps are rebuilt from queries and keys, which know nothing of a map that was written.
void refuse_written_maps(const ModelSpec& spec, const std::vector<GivenHook>& hooks) {
  for (const GivenHook& hook : hooks) {
    if (!hook.writes) continue;
    for (const ProbePoint& point : select_points(spec, hook.points)) {
      if (!is_square(point.site)) continue;
      throw Error({"attention", "none where a hook changes maps: factors would rebuild the map as it was", point_name(point) + " is changed",
                   "say attention=\"none\", and name the point \"pattern\" for the map itself"}, Fault::usage);
    }
  }
}

DecodingOptions decoding_options(const GivenContinuation& request) {
  DecodingOptions options{.max_tokens = request.max_tokens, .search = request.search, .samplers = request.samplers, .defaults = request.defaults, .values = {}};
  if (!request.defaults.empty() && request.defaults != "model") throw Error({"defaults", "\"model\"", quoted(request.defaults), ""}, Fault::usage);
  for (const auto& [name, value] : request.options) {
    const DecodeOption* option = find_decode_option(name);
    if (option == nullptr) throw Error({"generate", "options of `vitrine list samplers` and `vitrine list searches`", quoted(name), ""}, Fault::usage);
    const bool is_text = std::holds_alternative<std::vector<std::string>>(value);
    if (is_text != (option->kind == OptionKind::text)) throw Error({name, is_text ? "a number" : "a text, or several", is_text ? "a text" : "a number", ""}, Fault::usage);
    if (is_text) options.values.set(*option, std::get<std::vector<std::string>>(value));
    else options.values.set(*option, std::get<double>(value));
  }
  return options;
}

}  // namespace

std::string LoadedModel::info() {
  return describe(session_).dump();
}

std::vector<std::string> LoadedModel::points() const {
  std::vector<std::string> names;
  for (const ProbePoint& point : all_points(model().spec)) names.push_back(point_name(point));
  return names;
}

std::vector<std::string> LoadedModel::select(const std::vector<std::string>& words) const {
  std::vector<std::string> names;
  for (const ProbePoint& point : select_points(model().spec, words)) names.push_back(point_name(point));
  return names;
}

const Tokenizer& LoadedModel::tokenizer() const {
  if (!model().tokenizer) throw Error({path_, "a tokenizer", "none", "give token ids"}, Fault::usage);
  return *model().tokenizer;
}

std::vector<TokenId> LoadedModel::encode(const std::string& text, const std::string& bos) const {
  return ids_of(encode_text(tokenizer(), text, bos).tokens);
}

py::bytes LoadedModel::decode(const std::vector<TokenId>& ids) const { return tokenizer().decode(ids); }

py::bytes LoadedModel::piece(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= tokenizer().vocabulary_size()) {
    throw Error({"token", "an id from 0 to " + std::to_string(tokenizer().vocabulary_size() - 1), std::to_string(id), ""}, Fault::usage);
  }
  return tokenizer().piece(id);
}

InputText LoadedModel::read(const GivenText& text, const std::string& bos) const {
  if (const auto* words = std::get_if<std::string>(&text)) return encode_text(tokenizer(), *words, bos);
  InputText input;
  for (const TokenId id : std::get<std::vector<TokenId>>(text)) input.tokens.push_back({id, 0, 0});
  input.bos_rule = bos_of_ids;
  return input;
}

LoadedModel::Texts LoadedModel::read(const GivenTexts& given) const {
  if (given.texts.empty()) throw Error({"text", "at least one", "none", ""}, Fault::usage);
  const bool beside = session_.has_encoder();
  if (!beside && !given.decoder_ids.empty()) throw Error({"decoder_ids", "an encoder-decoder", model().spec.architecture, ""}, Fault::usage);
  if (!given.decoder_ids.empty() && given.decoder_ids.size() != given.texts.size()) {
    throw Error({"decoder_ids", "one for each of " + std::to_string(given.texts.size()) + " texts", std::to_string(given.decoder_ids.size()), ""}, Fault::usage);
  }
  Texts texts;
  for (const GivenText& text : given.texts) {
    texts.inputs.push_back(read(text, given.bos));
    texts.ids.push_back(ids_of(texts.inputs.back().tokens));
    texts.types.push_back(beside ? std::vector<std::int32_t>() : types_of(model(), texts.inputs.back()));
  }
  if (beside) texts.decoder = given.decoder_ids;
  while (beside && texts.decoder.size() < texts.ids.size()) texts.decoder.push_back(session_.shifted_right({}));
  require_context(model(), texts.inputs);
  return texts;
}

BatchLengths LoadedModel::lengths_of(const Texts& texts) const {
  BatchLengths lengths{.batch = texts.ids.size(), .positions = one_length(texts.said(), session_.has_encoder() ? "decoder text" : "text")};
  if (session_.has_encoder()) lengths.source = one_length(texts.ids, "text");
  return lengths;
}

HookCaller LoadedModel::caller_of(const std::vector<GivenHook>& hooks) const {
  std::vector<Hook> result;
  for (const GivenHook& hook : hooks) {
    const std::vector<ProbePoint> points = select_points(model().spec, hook.points);
    result.push_back({{points.begin(), points.end()}, hook.call, hook.writes ? Access::write : Access::read});
  }
  return HookCaller(std::move(result));
}

void LoadedModel::wait_for_turn() {
  if (owner_ == std::this_thread::get_id()) {
    throw Error({"model", "no call of a model from inside its own hooks", "one", "call it before or after the run, or load the file twice"}, Fault::usage);
  }
  for (;;) {
    {
      const py::gil_scoped_release unlocked;
      if (turn_.try_lock_for(std::chrono::milliseconds(100))) break;
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
}

template <typename Task>
void LoadedModel::work(const Task& task) {
  wait_for_turn();
  const std::lock_guard turn(turn_, std::adopt_lock);
  struct Owner {
    std::atomic<std::thread::id>& id;
    explicit Owner(std::atomic<std::thread::id>& of) : id(of) { id = std::this_thread::get_id(); }
    ~Owner() { id = std::thread::id(); }
  } const owner(owner_);
  session_.run().reset();
  const CancelOnInterrupt interrupt(session_.run());
  try {
    const py::gil_scoped_release unlocked;
    task();
  } catch (const Cancelled&) {
    // Python's own handler raises KeyboardInterrupt, unless the user's does something else.
    if (PyErr_CheckSignals() == 0) PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw py::error_already_set();
  }
}

void LoadedModel::run_some(const Texts& texts, std::size_t begin, std::size_t end, const TapPlan& taps, const ForwardSinks& sinks) {
  const auto first = static_cast<std::uint32_t>(begin);
  const auto some = [&](const auto& of) { return std::span(of).subspan(begin, end - begin); };
  if (session_.has_encoder()) session_.encode_batch(some(texts.ids), taps, {}, first);
  session_.run_batch(some(texts.said()), taps, sinks, {first, some(texts.types)});
}

ForwardSinks LoadedModel::sinks_of(LogitRows which, FloatArray& logits) const {
  ForwardSinks sinks{.logit_rows = which};
  if (which == LogitRows::none) return sinks;
  const std::size_t positions = static_cast<std::size_t>(logits.shape(1)), vocabulary = model().spec.vocabulary;
  sinks.logits = [numbers = logits.mutable_data(), positions, vocabulary](std::span<const RowRef> rows, TensorView<float, 2> values) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::size_t place = positions == 1 ? 0 : rows[r].position;
      std::copy_n(&values(r, 0), vocabulary, numbers + (rows[r].sequence * positions + place) * vocabulary);
    }
  };
  return sinks;
}

py::tuple LoadedModel::run(const GivenTexts& given, const std::vector<std::string>& collect, const std::vector<GivenHook>& hooks, const std::string& logits) {
  const Texts texts = read(given);
  const BatchLengths lengths = lengths_of(texts);
  const LogitRows which = logit_rows_of(logits, model());
  const std::vector<ProbePoint> points = collect.empty() ? std::vector<ProbePoint>() : select_points(model().spec, collect);
  HookCaller caller = caller_of(hooks);
  ArrayCollector collector(model().spec, points, lengths);
  FloatArray numbers;
  if (which != LogitRows::none) numbers = FloatArray(extents_of(Layout::rows, lengths.batch, which == LogitRows::last ? 1 : lengths.positions, {1, model().spec.vocabulary}));
  const ForwardSinks sinks = sinks_of(which, numbers);
  work([&] {
    Observer* observers[] = {&caller, &collector};  // what is collected is what the hooks left
    const TapPlan taps(model().spec, observers);
    // Whole texts share a pass, so that a hook sees all positions of each.
    const std::size_t at_once = std::max<std::size_t>(max_rows / std::max(lengths.positions, lengths.source), 1);
    for (std::size_t begin = 0; begin < lengths.batch; begin += at_once) {
      const std::size_t end = std::min(begin + at_once, lengths.batch);
      run_some(texts, begin, end, taps, sinks);
      session_.run().step("run", end, lengths.batch);
    }
  });
  const py::object source = session_.has_encoder() ? py::cast(texts.ids) : py::none();
  return py::make_tuple(texts.said(), source, which == LogitRows::none ? py::object(py::none()) : numbers, collector.arrays(points));
}

std::pair<std::vector<std::vector<TokenId>>, std::vector<FloatArray>> LoadedModel::score(const GivenTexts& given) {
  require_next_token_model(model());
  if (session_.has_encoder()) throw Error({"score", "a model without an encoder", model().spec.architecture, "use `vitrine score`"}, Fault::usage);
  const Texts texts = read(given);
  std::size_t longest = 2;
  for (const auto& ids : texts.ids) longest = std::max(longest, ids.size());
  std::vector<std::vector<TokenScore>> scores;
  work([&] { scores = windowed_scores(session_, texts.ids, {longest, longest / 2}, {}); });
  std::vector<FloatArray> result;
  for (const auto& of_text : scores) {
    FloatArray array(static_cast<py::ssize_t>(of_text.size()));
    for (std::size_t i = 0; i < of_text.size(); ++i) {
      array.mutable_data()[i] = static_cast<float>(of_text[i].log_probability.value_or(std::numeric_limits<double>::quiet_NaN()));
    }
    result.push_back(std::move(array));
  }
  return {texts.ids, result};
}

py::tuple LoadedModel::generate(const GivenTexts& given, const GivenContinuation& request, const std::vector<GivenHook>& hooks) {
  require_next_token_model(model());
  GivenTexts prompt = given;
  if (request.chat) {
    if (!std::holds_alternative<std::string>(prompt.texts.at(0))) throw Error({"chat", "a text", "token ids", ""}, Fault::usage);
    const ChatMessage message{"user", std::get<std::string>(prompt.texts[0])};
    prompt.texts[0] = chat_prompt(tokenizer(), {&message, 1});
  }
  const Texts texts = read(prompt);
  one_length(texts.said(), "text");
  const Decoding decoding = decoding_of(session_, decoding_options(request));
  const bool by_token = decoding.search->run_together != nullptr;
  if (!by_token && (!hooks.empty() || !request.stops.empty())) {
    throw Error({hooks.empty() ? "stop" : "hooks", "a search that makes one token after another", std::string(decoding.search->name), ""}, Fault::usage);
  }
  std::optional<GrammarMatcher> grammar;
  if (request.grammar.given()) grammar.emplace(read_grammar(request.grammar), tokenizer());
  HookCaller caller = caller_of(hooks);
  const std::vector<TokenId>& begun = texts.said().front();
  TextTeller teller(model().tokenizer.get(), begun, request.stops);
  GeneratedText made;
  work([&] {
    Observer* observers[] = {&caller};
    const TapPlan taps(model().spec, observers);
    if (session_.has_encoder()) session_.encode_batch({texts.ids.data(), 1}, taps, {});
    const ForwardContext context{model(), session_.ops(), session_.kernel(), session_.workspace(), session_.run(), taps};
    const SearchProblem problem{.context = context, .kv_format = session_.kv_format(), .source = session_.has_encoder() ? &session_.memory(0) : nullptr,
                                .prompt = begun, .source_ids = session_.has_encoder() ? std::span<const TokenId>(texts.ids.front()) : std::span<const TokenId>(), .max_tokens = decoding.max_tokens, .ends = decoding.ends,
                                .samplers = decoding.samplers, .draws_tokens = decoding.draws_tokens, .draws = {request.seed, 0}, .values = decoding.values,
                                .tokenizer = model().tokenizer.get(), .grammar = grammar ? &*grammar : nullptr,
                                .on_token = [&](std::size_t, const GeneratedToken& token) { return teller.add(token.id); }};
    made = std::move(decoding.search->run(problem).front());
  });
  std::vector<TokenId> ids;
  std::vector<double> log_probabilities;
  for (const GeneratedToken& token : made.tokens) {
    if (!by_token) teller.add(token.id);
    ids.push_back(token.id);
    log_probabilities.push_back(token.log_probability);
  }
  teller.finish();
  return py::make_tuple(model().tokenizer ? py::object(py::bytes(teller.text())) : py::object(py::none()), ids, log_probabilities);
}

RecorderOptions LoadedModel::options_of(const Texts& texts, const GivenRecording& recording) const {
  RecordingOptions how;
  how.output = recording.path;
  how.attention = recording.attention;
  how.compress = recording.compress;
  how.points = recording.points;
  how.store = recording.store;
  RecorderOptions options = recorder_options(session_, how, texts.inputs.front().bos_rule);
  for (std::size_t i = 0; i < texts.ids.size(); ++i) {
    options.longest_sequence = std::max({options.longest_sequence, texts.ids[i].size(), texts.said()[i].size()});
    options.expected_rows += texts.said()[i].size();
  }
  return options;
}

std::size_t LoadedModel::record_to(const GivenTexts& given, const GivenRecording& recording, const std::vector<GivenHook>& hooks) {
  const Texts texts = read(given);
  HookCaller caller = caller_of(hooks);
  const RecorderOptions options = options_of(texts, recording);
  if (options.attention != AttentionStorage::none) refuse_written_maps(model().spec, hooks);
  if (options.expected_rows == 0) throw Error({"text", "at least one token", "none", ""}, Fault::usage);
  std::size_t rows = 0;
  work([&] {
    const auto recorder = Recorder::create({model(), session_.kernel(), session_.ops()}, options);
    Observer* observers[] = {&caller, recorder.get()};
    const TapPlan taps(model().spec, observers);
    std::vector<std::size_t> ends = batch_ends(texts.ids);
    if (!hooks.empty()) {  // which see texts of one length
      ends.resize(texts.ids.size());
      std::iota(ends.begin(), ends.end(), std::size_t{1});
    }
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      for (std::size_t s = begin; s < end; ++s) {
        session_.has_encoder() ? recorder->begin_sequence(plain_tokens(texts.decoder[s]), texts.inputs[s].tokens) : recorder->begin_sequence(texts.inputs[s].tokens);
      }
      run_some(texts, begin, end, taps, {});
      recorder->end_sequence();
      session_.run().step("record", end, texts.ids.size());
      begin = end;
    }
    recorder->finish();
    rows = recorder->summary().rows;
  });
  return rows;
}

}  // namespace vitrine
