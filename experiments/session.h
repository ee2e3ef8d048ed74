#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/decode/generation_defaults.h"
#include "core/model/forward.h"
#include "core/model/model_runner.h"
#include "core/model/resident.h"
#include "core/text/token_ids.h"
#include "experiments/calibration_text.h"
#include "experiments/layered_ops.h"
#include "experiments/texts.h"
#include "experiments/variant_spec.h"

namespace CLI {
class App;
}

namespace vitrine {

/// Options that every command with a model shares (cli.md: Common).
struct CommonOptions {
  std::string model;
  std::string precision = "fast";
  std::string kernel = "auto";
  std::string kv;
  std::string simd = "auto";
  std::size_t threads = 0;
  std::uint64_t seed = 0;
  bool quiet = false;
  bool json = false;
  bool csv = false;         ///< asked for with --format csv
  std::vector<std::string> interventions;  ///< words of --intervene
  std::string apply;                       ///< shortcuts that change the model in memory
  std::vector<std::string> adapters;       ///< folders of PEFT adapters, computed beside the weights
  std::string sparse = "no";               ///< whether matrices with many zeros are held without these: auto, yes, no
  CalibrationOptions calibration;          ///< for those that need it
  std::size_t more_positions = 0;          ///< behind the text, that the command makes
  bool prints_rows = false; ///< the command knows CSV; set before the command line is read
};
void declare_common(CLI::App& app, CommonOptions& options);
/// @throws Error (usage) where there is no such precision
Precision parse_precision(const std::string& word);
/// Those of a command that runs no model: threads, progress and output.
void declare_without_model(CLI::App& app, CommonOptions& options);
/// declare_common of a command that computes exactly unless asked otherwise.
void declare_exact_common(CLI::App& app, CommonOptions& options);
/// declare_common of a command whose results are rows, so that --format csv is valid too.
void declare_common_with_rows(CLI::App& app, CommonOptions& options);

/// --apply and what calibrates it, --adapter and --sparse, of commands that run texts.
void declare_shortcuts(CLI::App& app, CommonOptions& options);
/// --intervene, of commands that run texts; with declare_shortcuts.
void declare_interventions(CLI::App& app, CommonOptions& options);

/// What the sequences of a batch are called, and the types of their tokens.
struct BatchPlace {
  BatchPlace(std::uint32_t first_sequence = 0, std::span<const std::vector<std::int32_t>> token_types = {}) : first(first_sequence), types(token_types) {}
  std::uint32_t first;
  std::span<const std::vector<std::int32_t>> types;  ///< of each sequence, empty where it has none; or none at all
};

/// A model with everything that runs it.
class Session {
 public:
  /// Of a program of its own: progress goes to stderr, Ctrl-C ends the run.
  explicit Session(const CommonOptions& options);
  /// Inside another program, which hears of the progress and keeps its signals.
  Session(const CommonOptions& options, Run::Report report);
  ~Session();

  const Model& model() const { return model_; }
  Ops& ops() { return ops_.top(); }
  const KernelChoice& kernel() const { return kernel_; }
  /// Why `auto` became this kernel; empty where the user named it.
  const std::string& kernel_reason() const { return kernel_reason_; }
  Precision precision() const { return precision_; }
  const KvFormat& kv_format() const { return kv_format_; }
  Run& run() { return run_; }
  Workspace& workspace() { return workspace_; }
  ThreadPool& pool() { return *pool_; }
  /// Observers of a run behind the interventions that the user asked for. Everything that this session runs has these.
  TapPlan with_interventions(const TapPlan& taps) const { return interventions_plan_.followed_by(taps); }
  /// What analyses work with; good for as long as the session.
  ModelRunner runner() { return {model_, ops(), kernel_, kv_format_, workspace_, run_}; }

  /// Goes on as another variant of the model that was opened: its shortcuts, precision, kernel and cache type. References to the model stay
  /// good, those to its weights and to ops() do not. @throws Error as apply_shortcuts; the session is then of no more use
  ShortcutReport become(const VariantSpec& variant, std::span<const ModelText> calibration);

  /// The one text. @throws Error (usage) where no text is given or the model has no tokenizer
  InputText read(const TextOptions& options) const;
  /// One text, or those of a file of many in its order. @throws Error as read()
  std::vector<InputText> read_all(const TextOptions& options) const;
  /// The same as a model takes them; of an encoder-decoder they are sources, whose decoder says --decoder-ids or starts.
  std::vector<ModelText> model_texts(std::span<const InputText> inputs, const TextOptions& options) const;
  /// What the model's files say of making texts; read when it is first asked for.
  const GenerationDefaults& generation_defaults() const;
  /// The sequence that a decoder starts with where it is to say the source's own tokens: start, then all but the last.
  /// @throws Error (usage) where the model does not say what texts start with
  std::vector<TokenId> shifted_right(std::span<const TokenId> ids) const;
  /// For a run that decodes many tokens (core/model/resident.h).
  void make_resident() { vitrine::make_resident(model_, *pool_); }
  KvCache new_cache() const { return KvCache(model_.spec, kv_format_); }
  /// Cache number `index`, emptied: its memory is kept from call to call unless it is large.
  KvCache& empty_cache(std::size_t index);
  KvCache new_memory() const { return KvCache(model_.spec, kv_format_, AttentionRole::cross); }
  /// Memory number `index` of a source, emptied.
  KvCache& empty_memory(std::size_t index);
  /// As encode_batch left it.
  KvCache& memory(std::size_t index) { return memories_.at(index); }
  bool has_encoder() const { return !model_.spec.encoder.empty(); }
  /// Runs the encoder of an encoder-decoder over sources that share a pass, called as in run_batch. run_batch and
  /// run_sequence of as many sequences then stand each beside its source.
  void encode_batch(std::span<const std::vector<TokenId>> sources, const TapPlan& taps, const ForwardSinks& sinks, std::uint32_t first = 0);
  /// Runs forward() over segments.
  void run_segments(std::span<const Segment> segments, const TapPlan& taps, const ForwardSinks& sinks);
  /// Runs forward() over one sequence; a bidirectional model gets no cache.
  void run_sequence(std::span<const TokenId> ids, const TapPlan& taps, const ForwardSinks& sinks, std::uint32_t sequence = 0);
  /// Runs forward() over sequences that share a pass; sequence i is called `first + i` in RowRef. Under fast precision the
  /// last digits of a row depend on how many rows share its pass (kernels choose products by that), under exact they do not.
  void run_batch(std::span<const std::vector<TokenId>> sequences, const TapPlan& taps, const ForwardSinks& sinks, const BatchPlace& place = {});
  /// Precision, kernel, cache type, instruction set, threads, seed, version: what makes a number repeatable.
  Json signature() const;

 private:
  void pack_zeros();
  ShortcutReport apply_shortcuts(std::span<const ShortcutCall> calls, std::span<const ModelText> calibration);
  void require_positions(std::span<const InputText> inputs) const;

  CommonOptions options_;
  Precision precision_;
  std::unique_ptr<ThreadPool> pool_;
  LayeredOps ops_;
  KernelChoice kernel_;
  std::string kernel_reason_;
  Model model_;
  std::optional<Model> opened_;  // before the first become()
  std::string shortcuts_, calibration_sha256_;
  KvFormat kv_format_;
  Workspace workspace_;
  std::deque<KvCache> caches_, memories_;  // whose places in memory stay
  std::vector<std::vector<TokenId>> sources_;  // of the memories
  Run run_;
  std::vector<std::unique_ptr<Observer>> interventions_;
  TapPlan interventions_plan_;
  mutable std::optional<GenerationDefaults> generation_defaults_;
};

/// Cuts sequences into batches of at most 512 rows (a longer sequence stands alone): the end of each batch.
std::vector<std::size_t> batch_ends(std::span<const std::vector<TokenId>> sequences);
/// @throws Error naming the first text that the model's context does not hold (of an encoder-decoder: the encoder's)
void require_context(const Model& model, std::span<const InputText> inputs);
/// Ctrl-C then cancels it, which must live to the end of the program.
void cancel_on_interrupt(Run& run);
/// Progress on stderr; none when that is no terminal or `quiet`.
Run::Report progress_bar(bool quiet);
/// @throws Error (usage) where the number is absurd
std::size_t checked_threads(std::size_t threads);
/// Types of a text's tokens for a model that reads them; empty for other models, and for ids, which say none.
std::vector<std::int32_t> types_of(const Model& model, const InputText& input);
/// A token's text for people: invalid UTF-8 and control characters escaped.
std::string printable(std::string_view bytes);

/// What a command made of each text, to standard output: with the session's signature and a hash of the texts; of a single text
/// alone, not in a list.
/// @param results  one object a text
void print_json(const Session& session, const TextOptions& options, std::span<const InputText> inputs, std::vector<Json> results);

}  // namespace vitrine
