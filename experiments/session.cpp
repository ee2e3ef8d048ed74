#include "experiments/session.h"

#include <csignal>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.h"
#include "core/model/kernel_check.h"
#include "core/shortcuts/pack_sparse.h"
#include "experiments/number_range_internal.h"
#include "experiments/output.h"
#include "experiments/tuning.h"
#include "kernels/kernels.h"
#include "probes/intervention.h"

namespace vitrine {
namespace {

Run* running = nullptr;  // what Ctrl-C cancels

void on_interrupt(int) {
  if (running) running->cancel();
}

void require_products(Precision precision) {
  if (precision != Precision::int8 || has_int8_products()) return;
  throw Error({"--precision int8", "a CPU with AVX-512 VNNI (and --simd AVX3)", simd_in_use(), "use --precision fast"}, Fault::usage);
}

KvFormat parse_kv(const std::string& word, Precision precision) {
  if (word.empty()) return precision == Precision::exact ? DType::f32 : DType::f16;
  const KvFormat format = parse_kv_format(word);
  if (precision == Precision::exact && format != KvFormat(DType::f32)) {
    throw Error({"--kv", "f32 under --precision exact", quoted(word), "use --precision fast"}, Fault::usage);
  }
  return format;
}

/// A cache that was asked for and cannot be had is no reason to run without one.
void require_cache(const Model& model, const KvFormat& format) {
  require_kv_format(model.spec, format);
  if (!format.quantized() || model.spec.causal()) return;
  throw Error({"--kv " + kv_format_name(format), "a causal model, which has a cache", model.spec.architecture, ""}, Fault::usage);
}

/// A kernel that rounds has no place in exact arithmetic.
void require_exact_kernel(const KernelChoice& choice) {
  if (!choice.kernel->rule(choice.options).bf16_factors) return;
  throw Error({"--kernel " + choice.spelled, "a kernel of f32 products under --precision exact", "one of bfloat16", "use --precision fast, or flash"},
              Fault::usage);
}

void set_format(CommonOptions& options, const std::string& word, const std::string& known) {
  if (word != "table" && word != "json" && !(word == "csv" && options.prints_rows)) {
    throw Error({"--format", known, quoted(word), ""}, Fault::usage);
  }
  if (options.json && word != "json") throw Error({"--json", "no other --format beside it", quoted(word), ""}, Fault::usage);
  options.json = word == "json";
  options.csv = word == "csv";
}

/// Not through a word: a folder's name may hold what ends one.
ShortcutCall call_of_adapter(const std::string& folder) {
  const auto lora = std::ranges::find(all_shortcuts(), std::string_view("lora"), &Shortcut::name);
  return {**lora, {{"adapter", folder}, {"merged", "no"}}};
}

}  // namespace

Precision parse_precision(const std::string& word) {
  if (word == "fast") return Precision::fast;
  if (word == "exact") return Precision::exact;
  if (word == "int8") return Precision::int8;
  throw Error({"--precision", "fast, exact or int8", quoted(word), ""}, Fault::usage);
}

Run::Report progress_bar(bool quiet) {
  // VITRINE_PROGRESS: a program that started this one reads what a terminal would show.
  if (quiet || (!isatty(STDERR_FILENO) && std::getenv("VITRINE_PROGRESS") == nullptr)) return {};
  return [](std::string_view task, std::size_t done, std::size_t total) {
    std::fprintf(stderr, "\r%.*s %zu/%zu%s", static_cast<int>(task.size()), task.data(), done, total,
                 done == total ? "\n" : "");
  };
}

std::size_t checked_threads(std::size_t threads) {
  if (threads > 1024) throw Error({"--threads", "at most 1024", std::to_string(threads), ""}, Fault::usage);
  return threads;
}

void declare_without_model(CLI::App& app, CommonOptions& options) {
  app.add_option("--threads", options.threads, "default: the cores this process may use")->check(whole_number(1, 1024));
  app.add_flag("--quiet", options.quiet, "no progress");
  app.add_flag("--json", options.json, "short for --format json");
  const std::string known = options.prints_rows ? "table (default), csv or json" : "table (default) or json";
  app.add_option_function<std::string>("--format", [&options, known](const std::string& word) { set_format(options, word, known); }, known);
}

void declare_common(CLI::App& app, CommonOptions& options) {
  app.add_option("MODEL", options.model, "GGUF file, safetensors file, Hugging Face folder, or hf:NAME")->required();
  app.add_option("--precision", options.precision, "fast (default), exact (f32 throughout) or int8 (8-bit products of many rows outside queries, keys and heads)");
  app.add_option("--kernel", options.kernel, "attention kernel, NAME[:key=value,...]; see `vitrine list kernels`");
  app.add_option("--kv", options.kv, "key-value cache: f32 (default under exact), f16, int8 or int4; int8:hadamard and int4:hadamard turn heads first");
  app.add_option("--simd", options.simd, "instruction set; see `vitrine info`");
  app.add_option("--seed", options.seed, "of everything random")->check(whole_number(0, 9'007'199'254'740'991));
  declare_without_model(app, options);
}

void declare_exact_common(CLI::App& app, CommonOptions& options) {
  options.precision = "exact";
  declare_common(app, options);
  app.get_option("--precision")->description("exact (default here), fast or int8");
}

void declare_common_with_rows(CLI::App& app, CommonOptions& options) {
  options.prints_rows = true;
  declare_common(app, options);
}

void declare_shortcuts(CLI::App& app, CommonOptions& options) {
  app.add_option("--apply", options.apply, "change the model in memory first: shortcuts with '+' between them; see `vitrine list shortcuts`")->check(some_text());
  app.add_option("--adapter", options.adapters, "folder of a LoRA adapter as PEFT saves it, computed beside the weights; may be given several times. `--apply lora:adapter=DIR` merges it instead")
      ->allow_extra_args(false)->check(some_text());
  app.add_option("--sparse", options.sparse, "hold matrices with many zeros without these: no (default), auto (where their products were measured faster), yes; packing takes some 2 s for 100 million numbers")->check(CLI::IsMember({"auto", "yes", "no"}));
  for (CLI::Option* option : declare_calibration(app, options.calibration)) option->needs("--apply");
}

void declare_interventions(CLI::App& app, CommonOptions& options) {
  declare_shortcuts(app, options);
  app.add_option("--intervene", options.interventions, "change values on the way: NAME:POINTS:key=value,...; see `vitrine list interventions`. May be given several times")
      ->allow_extra_args(false);
}

void cancel_on_interrupt(Run& run) {
  running = &run;
  std::signal(SIGINT, on_interrupt);
}

Session::Session(const CommonOptions& options) : Session(options, progress_bar(options.quiet)) {
  cancel_on_interrupt(run_);
}

Session::Session(const CommonOptions& options, Run::Report report)
    : options_(options), precision_(parse_precision(options.precision)), kv_format_(parse_kv(options.kv, precision_)),
      run_(std::move(report)) {
  checked_threads(options.threads);
  choose_simd(options.simd);
  require_products(precision_);
  choose_attention_kernel(options.kernel);  // refuses a bad one before the model is opened
  model_ = load_model(options.model);
  require_cache(model_, kv_format_);
  pool_ = std::make_unique<ThreadPool>(options.threads, initialize_worker);
  TunedChoice tuned = choose_tuned_kernel(options.kernel, {model_.spec.blocks.front().attention.head_dim, kv_format_.type, precision_}, pool_->threads());
  if (!tuned.complaint.empty()) std::fprintf(stderr, "vitrine: %s\n", tuned.complaint.c_str());
  kernel_ = std::move(tuned.choice);
  kernel_reason_ = std::move(tuned.reason);
  if (precision_ == Precision::exact) require_exact_kernel(kernel_);
  require_kernel(kernel_, model_, kv_format_);  // before anything is computed or written
  ops_ = LayeredOps(make_cpu_ops(precision_, *pool_));
  std::vector<ShortcutCall> calls = options.apply.empty() ? std::vector<ShortcutCall>{} : parse_shortcuts(options.apply);
  for (const std::string& folder : options.adapters) calls.push_back(call_of_adapter(folder));
  if (!calls.empty()) apply_shortcuts(calls, calibration_texts(*this, options.calibration, calibration_sha256_));
  if (options.sparse != "no") pack_zeros();
  std::vector<Observer*> observers;
  for (const std::string& word : options.interventions) observers.push_back(interventions_.emplace_back(make_intervention(model_.spec, word, options.seed)).get());
  interventions_plan_ = TapPlan(model_.spec, observers);
}

Session::~Session() {
  if (running == &run_) running = nullptr;
}

InputText Session::read(const TextOptions& options) const {
  VITRINE_CHECK(!options.many());
  return std::move(read_all(options).front());
}

/// A position that no text has would change nothing, and nobody would know.
void Session::require_positions(std::span<const InputText> inputs) const {
  std::size_t longest = 0;
  for (const InputText& input : inputs) longest = std::max(longest, input.tokens.size());
  for (const std::string& word : options_.interventions) {
    const std::optional<std::size_t> furthest = furthest_position(model_.spec, word);
    if (!furthest || has_encoder() || *furthest < longest + options_.more_positions) continue;
    throw Error({"--intervene " + word, "positions that the text has, 0 to " + std::to_string(longest + options_.more_positions) + " less one", std::to_string(*furthest), ""}, Fault::usage);
  }
}

std::vector<InputText> Session::read_all(const TextOptions& options) const {
  require_one_source(options);
  if (!has_encoder() && !options.decoder_ids.empty()) throw Error({"--decoder-ids", "an encoder-decoder", model_.spec.architecture, ""}, Fault::usage);
  if (!options.ids.empty()) {
    if (!options.pair.empty()) throw Error({"--pair", "a text before it", "--ids", "give both texts' ids with --ids"}, Fault::usage);
    InputText input;
    for (const int id : options.ids) input.tokens.push_back({id, 0, 0});
    input.bos_rule = bos_of_ids;
    require_positions({&input, 1});
    return {std::move(input)};
  }
  if (!model_.tokenizer) {
    throw Error({options_.model, "a tokenizer", "none", "give token ids with --ids"}, Fault::usage);
  }
  std::vector<InputText> inputs;
  for (std::string& text : texts_of(options)) {
    try {
      inputs.push_back(options.pair.empty() ? encode_text(*model_.tokenizer, std::move(text), options.bos)
                                            : encode_pair(*model_.tokenizer, std::move(text), options));
    } catch (const Error& error) {
      if (!options.many()) throw;
      throw Error({"text " + std::to_string(inputs.size()) + " (counted from 0)", "a text that can be encoded", error.what(), ""}, error.fault());
    }
  }
  require_positions(inputs);
  return inputs;
}

std::vector<ModelText> Session::model_texts(std::span<const InputText> inputs, const TextOptions& options) const {
  std::vector<ModelText> texts;
  for (const InputText& input : inputs) {
    if (!has_encoder()) {
      texts.push_back({ids_of(input.tokens), types_of(model_, input), {}});
      continue;
    }
    const std::vector<int>& said = options.decoder_ids;
    texts.push_back({said.empty() ? shifted_right({}) : std::vector<TokenId>(said.begin(), said.end()), {}, ids_of(input.tokens)});
  }
  return texts;
}

KvCache& Session::empty_cache(std::size_t index) {
  constexpr std::size_t most_kept = std::size_t{8} << 20;  // bytes
  while (caches_.size() <= index) caches_.push_back(new_cache());
  KvCache& cache = caches_[index];
  if (cache.bytes() > most_kept) cache = new_cache();
  cache.truncate(0);
  return cache;
}

KvCache& Session::empty_memory(std::size_t index) {
  while (memories_.size() <= index) memories_.push_back(new_memory());
  memories_[index].truncate(0);
  return memories_[index];
}

void Session::encode_batch(std::span<const std::vector<TokenId>> sources, const TapPlan& taps, const ForwardSinks& sinks, std::uint32_t first) {
  std::vector<Segment> segments;
  for (std::size_t s = 0; s < sources.size(); ++s) {
    segments.push_back({.sequence = first + static_cast<std::uint32_t>(s), .ids = sources[s], .memory = &empty_memory(s)});
  }
  const TapPlan changed = interventions_.empty() ? TapPlan() : with_interventions(taps);
  encode({model_, ops(), kernel_, workspace_, run_, interventions_.empty() ? taps : changed}, segments, sinks);
  sources_.assign(sources.begin(), sources.end());
}

void Session::run_segments(std::span<const Segment> segments, const TapPlan& taps, const ForwardSinks& sinks) {
  const TapPlan changed = interventions_.empty() ? TapPlan() : with_interventions(taps);
  forward({model_, ops(), kernel_, workspace_, run_, interventions_.empty() ? taps : changed}, segments, sinks);
}

void Session::run_sequence(std::span<const TokenId> ids, const TapPlan& taps, const ForwardSinks& sinks,
                           std::uint32_t sequence) {
  Segment segment{.sequence = sequence, .ids = ids};
  if (model_.spec.causal()) segment.cache = &empty_cache(0);
  if (has_encoder()) segment.memory = &memories_.at(0);
  run_segments({&segment, 1}, taps, sinks);
}

void Session::run_batch(std::span<const std::vector<TokenId>> sequences, const TapPlan& taps, const ForwardSinks& sinks,
                        const BatchPlace& place) {
  const std::uint32_t first = place.first;
  std::vector<Segment> segments;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    Segment segment{.sequence = first + static_cast<std::uint32_t>(s), .ids = sequences[s]};
    if (!place.types.empty()) segment.types = place.types[s];
    if (model_.spec.causal()) segment.cache = &empty_cache(s);
    if (has_encoder()) {
      segment.memory = &memories_.at(s);
      segment.source = sources_[s];
    }
    segments.push_back(segment);
  }
  run_segments(segments, taps, sinks);
}

void Session::pack_zeros() {
  ShortcutReport report;
  pack_sparse(model_, *pool_, options_.sparse == "yes" ? std::optional(0.0) : std::nullopt, report);
  if (report.matrices.empty()) return;
  std::size_t before = 0, after = 0;
  for (const MatrixChange& change : report.matrices) {
    before += change.bytes_before;
    after += change.bytes_after;
  }
  if (!options_.quiet) {
    std::fprintf(stderr, "vitrine: %zu matrices are held without their zeros, %.1f of %.1f MB (--sparse no holds them as they are)\n", report.matrices.size(),
                 static_cast<double>(after) / 1e6, static_cast<double>(before) / 1e6);
  }
}

ShortcutReport Session::apply_shortcuts(std::span<const ShortcutCall> calls, std::span<const ModelText> calibration) {
  ShortcutReport report = apply_in_memory(model_, calls, {calibration, options_.seed, run_}, ops_);
  shortcuts_ = spelled(calls);
  if (!options_.quiet) {
    for (const std::string& note : report.notes) std::fprintf(stderr, "vitrine: %s\n", note.c_str());
  }
  return report;
}

ShortcutReport Session::become(const VariantSpec& variant, std::span<const ModelText> calibration) {
  require_products(variant.precision);
  if (!opened_) opened_ = model_;
  model_ = *opened_;
  options_.precision = precision_name(precision_ = variant.precision);
  kv_format_ = variant.kv_format;
  require_cache(model_, kv_format_);
  kernel_ = choose_attention_kernel(variant.kernel, precision_);
  kernel_reason_.clear();
  require_kernel(kernel_, model_, kv_format_);
  caches_.clear();
  memories_.clear();
  ops_ = LayeredOps(make_cpu_ops(precision_, *pool_));
  return apply_shortcuts(variant.shortcuts, calibration);
}

Json Session::signature() const {
  Json json;
  // "auto" is named by what it chose; a kernel with options is another kernel with others.
  const bool has_options = !kernel_.options.positional.empty() || !kernel_.options.named.empty();
  json.set("precision", options_.precision).set("kernel", has_options ? kernel_.spelled : std::string(kernel_.kernel->name));
  if (!kernel_reason_.empty()) json.set("kernel_choice", "auto: " + kernel_reason_);
  if (kernel_.kernel->name == "check") json.set("check_largest_difference", largest_checked_difference());
  json.set("kv", kv_format_name(kv_format_)).set("simd", simd_in_use());
  json.set("threads", static_cast<std::uint64_t>(pool_->threads())).set("seed", options_.seed);
  if (!interventions_.empty()) {
    Json words = Json::array();
    for (const std::string& word : options_.interventions) words.push(word);
    json.set("interventions", words);
  }
  if (!shortcuts_.empty()) json.set("shortcuts", shortcuts_);
  if (!calibration_sha256_.empty()) json.set("calibration_sha256", calibration_sha256_);
  json.set("model", model_.path.filename().string()).set("version", VITRINE_VERSION);
  return json;
}

std::vector<std::size_t> batch_ends(std::span<const std::vector<TokenId>> sequences) {
  std::vector<std::size_t> ends;
  std::size_t rows = 0;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    if (rows > 0 && rows + sequences[s].size() > max_rows) {
      ends.push_back(s);
      rows = 0;
    }
    rows += sequences[s].size();
  }
  if (!sequences.empty()) ends.push_back(sequences.size());
  return ends;
}

const GenerationDefaults& Session::generation_defaults() const {
  if (!generation_defaults_) generation_defaults_ = read_generation_defaults(model_);
  return *generation_defaults_;
}

std::vector<TokenId> Session::shifted_right(std::span<const TokenId> ids) const {
  const std::optional<TokenId> start = generation_defaults().start;
  if (!start) {
    throw Error({model_.path.string() + ": decoder_start_token_id", "the token that texts start with", "none", "give --decoder-ids"}, Fault::usage);
  }
  std::vector<TokenId> shifted{*start};
  if (!ids.empty()) shifted.insert(shifted.end(), ids.begin(), ids.end() - 1);
  return shifted;
}

void require_context(const Model& model, std::span<const InputText> inputs) {
  const std::size_t context = model.spec.encoder.empty() ? model.spec.context : model.spec.encoder.front().context;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (context == 0 || inputs[i].tokens.size() <= context) continue;
    throw Error({"text " + std::to_string(i) + " (counted from 0)",
                 "at most " + std::to_string(context) + " tokens (the model's context)",
                 std::to_string(inputs[i].tokens.size()), "shorten the text"});
  }
}

std::vector<std::int32_t> types_of(const Model& model, const InputText& input) {
  const bool reads_types = model.spec.token_types > 0 || model.spec.blocks.front().attention.relative;
  std::vector<std::int32_t> types;
  if (!reads_types || input.bos_rule == bos_of_ids) return types;
  for (const Token& token : input.tokens) types.push_back(token.type);
  return types;
}

std::string printable(std::string_view bytes) {
  const std::string safe = quoted(bytes, bytes.size());
  return safe.substr(1, safe.size() - 2);
}

void print_json(const Session& session, const TextOptions& options, std::span<const InputText> inputs, std::vector<Json> results) {
  const Json signature = session.signature().set("data_sha256", data_sha256(inputs));
  const Json json = options.many() ? sequences_of(std::move(results), signature) : results.front().set("signature", signature);
  std::puts(json.dump(2).c_str());
}

}  // namespace vitrine
