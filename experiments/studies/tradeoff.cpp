#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/calibration_text.h"
#include "experiments/data/pairs.h"
#include "experiments/number_range_internal.h"
#include "experiments/session.h"
#include "experiments/study.h"
#include "experiments/variant.h"
#include "experiments/variant_spec.h"
#include "kernels/kernels.h"
#include "probes/statistics/median.h"

// What each shortcut costs in one table: speed, memory, prediction and attention, against a reference of the highest
// precision. Documents are what is resampled. Divergences cannot be negative, so they are never tested against zero: they
// stand beside a control, the numeric floor for kernels and precision, noise of the same size for rounded weights.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  std::string file, output;
  CalibrationOptions calibration;
  std::vector<std::string> weights, variants;
  std::size_t documents = 12, tokens = 128;
  double margin = 0.01;
};

/// A column of a metric, and its place in a document's values.
struct Column {
  const Metric* metric;
  const MetricColumn* column;
  std::size_t place;
};

/// Every column of every metric: predictions, then embedding, then attention.
std::vector<Column> all_columns() {
  std::vector<Column> columns;
  for (const Compared compared : {Compared::predictions, Compared::embedding, Compared::attention}) {
    for (const Metric* metric : all_metrics()) {
      if (metric->compared != compared) continue;
      for (const MetricColumn& column : metric->columns) columns.push_back({metric, &column, columns.size()});
    }
  }
  return columns;
}

/// A row of the table. Its model is made when it is measured, and is gone after that.
struct Row {
  VariantSpec spec{};
  std::string control{};  // name of the row it is compared with; empty for controls
  std::size_t weights_bytes = 0, kv_bytes_per_token = 0;
  bool comparable_heads = true;
  std::vector<std::vector<MetricValue>> documents{};  // [document][column]
  std::vector<double> prefill{}, decode{}, decode_ratio{};  // tokens a second, one a round; the last to the reference's in the same round
};

std::string text_of(double value, const char* format = "%.4g") {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return std::isfinite(value) ? text : "-";
}

/// Documents of the user's file (cut at blank lines), or sentences of the project's own templates.
std::vector<std::string> document_texts(const Options& options) {
  std::vector<std::string> texts;
  if (options.file.empty()) {
    std::map<std::string, std::string> by_term;
    for (const SentencePair& pair : template_pairs().pairs) by_term[pair.cluster] += (by_term[pair.cluster].empty() ? "" : " ") + pair.more;
    std::size_t at = 0;
    const std::size_t step = std::max<std::size_t>(1, by_term.size() / std::max<std::size_t>(1, options.documents));
    for (const auto& [term, text] : by_term) {
      if (at++ % step == 0 && texts.size() < options.documents) texts.push_back(text);
    }
    return texts;
  }
  const std::string all = read_file("--file", options.file);
  for (std::size_t begin = 0; begin < all.size() && texts.size() < options.documents;) {
    const std::size_t end = std::min(all.find("\n\n", begin), all.size());
    if (end > begin) texts.push_back(all.substr(begin, end - begin));
    begin = end + 2;
  }
  return texts;
}

std::vector<std::vector<TokenId>> documents_of(const Model& model, const Options& options, std::string& hash) {
  if (!model.tokenizer) throw Error({options.common.model, "a tokenizer", "none", ""});
  std::vector<std::vector<TokenId>> documents;
  std::string all;
  for (const std::string& text : document_texts(options)) {
    std::vector<TokenId> ids = ids_of(model.tokenizer->encode(text, {.add_special = true, .parse_special = false}));
    const std::size_t most = model.spec.context > 0 ? std::min(options.tokens, model.spec.context) : options.tokens;
    if (ids.size() > most) ids.resize(most);
    if (ids.size() < 16) continue;  // too short for rows with eight visible keys
    documents.push_back(std::move(ids));
    all += text + "\n\n";
  }
  if (documents.size() < 2) throw Error({"--file", "at least two documents of 16 tokens, separated by blank lines", std::to_string(documents.size()), ""});
  hash = sha256(all);
  return documents;
}

class Tradeoff {
 public:
  Tradeoff(const Options& options, Session& session)
      : options_(options), session_(session), pool_(session.ops().pool()), one_thread_(1, initialize_worker),
        documents_(documents_of(session.model(), options, hash_)) {
    const Model& model = session.model();
    encoder_ = !model.spec.has_head;
    reference_ = std::make_unique<Variant>(VariantSpec{"reference: exact, kernel reference, KV F32", Precision::exact, "reference", DType::f32, {}}, model, pool_);
    calibration_ = calibration_texts(session, options.calibration, calibration_hash_);
    variants_ = parse_variants(options.variants);
    check_variants(model, variants_, calibration_);
  }

  StudyResult study() {
    const Model& model = session_.model();
    measure({"numeric floor: exact, kernel flash, KV F32", Precision::exact, "flash", DType::f32, {}}, model, pool_, "");
    if (variants_.empty()) measure_usual_rows(model);
    for (const std::string& name : weight_types(model)) measure_weights(model, name);
    for (const VariantSpec& spec : variants_) measure_variant(model, spec);
    return result();
  }

 private:
  void measure_usual_rows(const Model& model) {
    measure({"exact, kernel reference, one thread", Precision::exact, "reference", DType::f32, {}}, model, one_thread_, floor_);
    measure({"exact, kernel online_softmax, KV F32", Precision::exact, "online_softmax", DType::f32, {}}, model, pool_, floor_);
    measure({"fast, kernel flash, KV F32", Precision::fast, "flash", DType::f32, {}}, model, pool_, floor_);
    const KvFormat usual = encoder_ ? DType::f32 : DType::f16;
    if (has_bf16_products()) measure_usual(Precision::fast, usual, model);
    if (has_int8_products()) measure_usual(Precision::int8, usual, model);
    if (!encoder_) measure_caches(model);
  }

  /// What a user gets who asks for the precision and the cache alone.
  void measure_usual(Precision precision, const KvFormat& format, const Model& model) {
    const std::string kernel(choose_attention_kernel("auto", precision).kernel->name);
    measure({std::string(precision_name(precision)) + ", kernel " + kernel + ", KV " + kv_format_name(format), precision, kernel, format, {}}, model, pool_, floor_);
  }

  void measure_caches(const Model& model) {
    bool turns = true;
    for (const BlockSpec& block : model.spec.blocks) turns = turns && hadamard_size(block.attention.head_dim) > 1;
    measure({"fast, kernel flash, KV F16", Precision::fast, "flash", DType::f16, {}}, model, pool_, floor_);
    for (const char* name : {"int8", "int8:hadamard", "int4", "int4:hadamard"}) {
      const KvFormat format = parse_kv_format(name);
      if (format.hadamard && !turns) continue;
      measure_usual(Precision::fast, format, model);
    }
    if (!turns) notes_.push_back("No rows for turned caches: the heads have an odd size.");
  }

  /// Types that the weights are to be rounded to.
  std::vector<std::string> weight_types(const Model& model) {
    if (!options_.weights.empty() || !variants_.empty()) return options_.weights;
    const DType file_type = model.weights.at(block_matrices(model).front()).type;
    if (!dtype_info(file_type).quantized) return {"Q8_0", "Q4_0"};
    notes_.push_back("No rows for weight types: the file's weights are " + std::string(dtype_info(file_type).name) +
                     " already, and against it every type would look better or worse than it is. Start from a file of full precision.");
    return {};
  }

  /// Rounded weights beside noise of the same size, both run exactly, so that nothing else differs.
  void measure_weights(const Model& model, const std::string& name) {
    const DTypeInfo& file_type = dtype_info(model.weights.at(block_matrices(model).front()).type);
    const auto type = parse_dtype(name);
    if (!type || dtype_info(*type).compress == nullptr) throw Error({"--weights", "F16, BF16 or a type of GGUF's blocks such as Q8_0 or Q4_K", quoted(name), ""}, Fault::usage);
    const std::string title = std::string(dtype_info(*type).name) + (file_type.quantized ? " on top of " + std::string(file_type.name) : "");
    const std::string control = "control: noise as large as " + title;
    const Model rounded = with_weights(model, *type, pool_, session_.run());
    for (std::uint64_t draw = 0; draw < control_draws; ++draw) {
      measure({control + draw_name(draw), Precision::exact, "flash", DType::f32, {}}, with_noise_as_far_as(model, rounded, options_.common.seed + draw, pool_), pool_, "");
    }
    measure({"weights " + title, Precision::exact, "flash", DType::f32, {}}, rounded, pool_, control);
  }

  static std::string draw_name(std::uint64_t draw) { return ", draw " + std::to_string(draw + 1); }

  /// The shortcuts of a variant beside a change of the same size that chooses at random, or beside noise.
  void measure_variant(const Model& model, VariantSpec spec) {
    const std::string name = spec.name;
    if (spec.shortcuts.empty()) return measure(std::move(spec), model, pool_, floor_);
    const VariantSpec plain{"", Precision::exact, "flash", DType::f32, {}};
    const std::vector<ShortcutCall> random = random_counterparts(spec.shortcuts);
    const std::string control = (random.empty() ? "control: noise as large as " : "control: at random like ") + name;
    std::unique_ptr<Variant> variant = std::make_unique<Variant>(std::move(spec), model, inputs(options_.common.seed), pool_);
    for (const std::string& note : variant->report().notes) notes_.push_back(name + ": " + note);
    for (std::uint64_t draw = 0; draw < control_draws; ++draw) {
      VariantSpec other = plain;
      other.name = control + draw_name(draw);
      if (random.empty()) {
        measure(std::move(other), with_noise_as_far_as(model, variant->model(), options_.common.seed + draw, pool_), pool_, "");
      } else {
        other.shortcuts = random;
        measure(std::make_unique<Variant>(std::move(other), model, inputs(options_.common.seed + draw), pool_), "");
      }
    }
    measure(std::move(variant), control);
  }

  ShortcutInputs inputs(std::uint64_t seed) { return {calibration_, seed, session_.run()}; }

  /// The shortcuts with those that have a control in its place; none where none has.
  static std::vector<ShortcutCall> random_counterparts(const std::vector<ShortcutCall>& shortcuts) {
    std::vector<ShortcutCall> calls;
    bool some = false;
    for (const ShortcutCall& call : shortcuts) {
      const auto control = call.shortcut().control;
      some = some || control != nullptr;
      calls.push_back(control ? ShortcutCall(control(call)) : call);
    }
    if (!some) calls.clear();
    return calls;
  }

  void measure(VariantSpec spec, const Model& model, ThreadPool& pool, const std::string& control) {
    measure(std::make_unique<Variant>(std::move(spec), model, pool), control);
  }

  void measure(std::unique_ptr<Variant> variant, const std::string& control) {
    Row row{.spec = variant->spec(), .control = control};
    row.weights_bytes = variant->model().weights.bytes() + static_cast<std::size_t>(variant->report().bytes_beside);
    row.kv_bytes_per_token = kv_bytes_per_token(variant->model().spec, row.spec.kv_format);
    row.comparable_heads = has_same_heads(variant->model().spec, session_.model().spec);
    if (!row.comparable_heads) notes_.push_back(row.spec.name + ": attention is not comparable, its heads are not those of the reference.");
    for (std::size_t d = 0; d < documents_.size(); ++d) {
      const Variant::Output output = variant->run(documents_[d]);
      row.documents.push_back(values_of(text_runs(session_.model(), documents_[d], reference_output(d), output, pool_), row.comparable_heads));
      session_.run().step(row.spec.name, d + 1, documents_.size());
    }
    if (!row.spec.name.starts_with("control")) time(*variant, row);
    rows_.push_back(std::move(row));
  }

  /// Kept while there is room for it: rows are measured one after the other, and a variant's weights may be large.
  const Variant::Output& reference_output(std::size_t document) {
    constexpr std::size_t most_bytes = std::size_t{1} << 30;
    reference_outputs_.resize(documents_.size());
    Variant::Output& kept = reference_outputs_[document];
    if (kept.attention) return kept;
    if (reference_bytes_ > most_bytes) {
      for (Variant::Output& output : reference_outputs_) output = {};
      reference_bytes_ = 0;
    }
    kept = reference_->run(documents_[document]);
    reference_bytes_ += kept.logits.size() * sizeof(float);
    return kept;
  }

  bool measured(const Row& row, const Column& column) const {
    return measured(column) && (row.comparable_heads || column.metric->compared != Compared::attention);
  }
  bool measured(const Column& column) const { return !encoder_ || column.metric->compared != Compared::predictions; }

  /// An embedding is judged where it is what the model is for: where there are no predictions.
  bool estimated(const Column& column) const {
    return measured(column) && column.column->judged != Judged::never && (encoder_ || column.metric->compared != Compared::embedding);
  }

  std::vector<MetricValue> values_of(const TextRuns& runs, bool comparable_heads) const {
    std::vector<MetricValue> values(columns_.size());
    for (std::size_t c = 0; c < columns_.size(); c += columns_[c].metric->columns.size()) {
      const Metric& metric = *columns_[c].metric;
      if (!measured(columns_[c]) || (metric.compared == Compared::attention && !comparable_heads)) continue;
      metric.measure(runs, std::span(values).subspan(c, metric.columns.size()));
    }
    return values;
  }

  /// Rounds in which the reference takes its turn, so that a busy minute of the machine meets both.
  void time(Variant& variant, Row& row) {
    constexpr std::size_t rounds = 3, decode_tokens = 16;
    const std::vector<TokenId>& prompt = *std::max_element(documents_.begin(), documents_.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    for (std::size_t round = 0; round < rounds; ++round) {
      const Variant::Timing reference = reference_->time(prompt, decode_tokens), timing = variant.time(prompt, decode_tokens);
      row.prefill.push_back(static_cast<double>(prompt.size()) / timing.prefill_seconds);
      if (timing.decode_seconds <= 0.0) continue;
      row.decode.push_back(decode_tokens / timing.decode_seconds);
      row.decode_ratio.push_back(reference.decode_seconds / timing.decode_seconds);
    }
  }

  /// Per document, the mean of the rows whose names begin so: a control may have several draws.
  std::vector<double> values_of(const std::string& name, const Column& column) const {
    std::vector<double> values(documents_.size(), 0.0);
    double count = 0.0;
    for (const Row& row : rows_) {
      if (!row.spec.name.starts_with(name)) continue;
      for (std::size_t d = 0; d < values.size(); ++d) values[d] += row.documents[d][column.place].variant;
      count += 1.0;
    }
    for (double& value : values) value /= std::max(count, 1.0);
    return values;
  }

  /// A quantity that cannot be negative: judged by its difference to the control.
  Estimate against_control(const Row& row, const Column& column) const {
    const std::vector<double> values = values_of(row.spec.name, column), control = values_of(row.control, column);
    std::vector<double> difference;
    double control_mean = 0.0;
    for (std::size_t d = 0; d < values.size(); ++d) {
      difference.push_back(values[d] - control[d]);
      control_mean += control[d] / static_cast<double>(values.size());
    }
    Estimate estimate = clustered_mean(estimate_name(row, column), values, {}), judged = clustered_mean("", difference, {});
    judge(judged, 0.0, options_.margin);
    estimate.control = control_mean;
    // Nearer to the reference than the control is: nothing was lost that the control does not lose.
    const bool nearer = std::isfinite(judged.high) && judged.high < 0.0;
    estimate.verdict = nearer ? Verdict::equivalent : judged.verdict;
    estimate.margin = options_.margin;
    estimate.reason = std::string(nearer ? "nearer to the reference than the control: " : "") + "difference to the control " + text_of(judged.value, "%.3g") + (std::isfinite(judged.low) && std::isfinite(judged.high)
        ? " [" + text_of(judged.low, "%.3g") + ", " + text_of(judged.high, "%.3g") + "]" : ", so few documents exclude nothing");
    estimate.null_value.reset();
    return estimate;
  }

  Estimate change(const Row& row, const Column& column) const {
    std::vector<double> changes;
    for (const auto& document : row.documents) changes.push_back(document[column.place].variant - document[column.place].reference);
    Estimate estimate = clustered_mean(estimate_name(row, column), changes, {});
    judge(estimate, 0.0, options_.margin);
    return estimate;
  }

  static std::string estimate_name(const Row& row, const Column& column) {
    const bool against_noise = column.column->judged == Judged::against_control && row.control.starts_with("control: noise");
    return std::string(column.column->estimate) + (against_noise ? " against noise as large: " : ": ") + row.spec.name;
  }

  Estimate estimate_of(const Row& row, const Column& column) const {
    Estimate estimate = column.column->judged == Judged::as_change ? change(row, column) : against_control(row, column);
    estimate.p.reset();
    estimate.unit = column.column->unit;
    estimate.direction = column.column->direction;
    estimate.resampled_unit = "document";
    return estimate;
  }

  StudyResult result() {
    StudyResult result;
    result.study = "tradeoff";
    result.title = "Trade-offs of " + session_.model().path.filename().string();
    result.question = "What does each shortcut cost, against exact arithmetic with the reference kernel on the same weights and texts?";
    for (const Row& row : rows_) {
      if (row.control.empty()) continue;
      for (const Column& column : columns_) {
        if (estimated(column) && measured(row, column)) result.estimates.push_back(estimate_of(row, column));
      }
    }
    result.tables = {table()};
    result.items = items();
    result.notes = notes_;
    result.notes.push_back("Documents are resampled; divergences are judged by their difference to the control, never against zero.");
    for (const Metric* metric : all_metrics()) {
      result.notes.push_back(std::string(metric->name) + ": " + std::string(metric->summary) + ". " + std::string(metric->source) + ".");
    }
    result.notes.push_back("Timings: median of 3 rounds in which the reference takes its turn, in brackets smallest and largest; a prompt of the longest document, 16 tokens decoded.");
    result.signature = session_.signature();
    if (!variants_.empty()) result.signature.set("variants", spelled(variants_));
    if (!calibration_hash_.empty()) result.signature.set("calibration", std::filesystem::path(options_.calibration.file).filename().string()).set("calibration_sha256", calibration_hash_);
    result.signature.set("data", options_.file.empty() ? "template sentences, version 1" : std::filesystem::path(options_.file).filename().string());
    result.signature.set("data_sha256", hash_).set("documents", static_cast<std::uint64_t>(documents_.size()));
    result.signature.set("tokens_at_most", static_cast<std::uint64_t>(options_.tokens)).set("margin", options_.margin);
    result.signature.set("protocol", "documents whole, first token not scored; per token").set("precision", "per row").set("kernel", "per row").set("kv", "per row");
    result.licenses = options_.file.empty() ? template_pairs().license : "The texts were read from a file; their licence is their publisher's.";
    return result;
  }

  static std::string spread(const std::vector<double>& values, const char* format) {
    if (values.empty()) return "-";
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return text_of(median(values), format) + " [" + text_of(*low, format) + ", " + text_of(*high, format) + "]";
  }

  /// One number for a row of the table, over all documents.
  std::string pooled(const Row& row, const Column& column) const {
    if (!measured(row, column)) return "-";
    const std::vector<double> values = values_of(row.spec.name, column);
    if (column.column->pool != nullptr) {
      std::vector<std::size_t> tokens;
      for (const auto& ids : documents_) tokens.push_back(ids.size());
      return text_of(column.column->pool(values, tokens), column.column->format);
    }
    double mean = 0.0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    return text_of(mean, column.column->format);
  }

  StudyTable table() const {
    StudyTable table{"One row a variant", {"variant", "prefill tok/s", "decode tok/s", "decode to reference", "weights MB", "KV bytes/token"}, {}};
    for (const Column& column : columns_) table.header.emplace_back(column.column->heading);
    for (const Row& row : rows_) {
      std::vector<std::string> cells{row.spec.name, spread(row.prefill, "%.0f"), spread(row.decode, "%.0f"), spread(row.decode_ratio, "%.2f"),
                                     text_of(static_cast<double>(row.weights_bytes) / 1e6, "%.1f"), std::to_string(row.kv_bytes_per_token)};
      for (const Column& column : columns_) cells.push_back(pooled(row, column));
      table.rows.push_back(std::move(cells));
    }
    return table;
  }

  StudyTable items() const {
    StudyTable table{"", {"item", "variant", "tokens"}, {}};
    for (const Column& column : columns_) table.header.emplace_back(column.column->name);
    for (const Row& row : rows_) {
      for (std::size_t d = 0; d < documents_.size(); ++d) {
        std::vector<std::string> cells{std::to_string(d), row.spec.name, std::to_string(documents_[d].size())};
        for (const Column& column : columns_) cells.push_back(measured(row, column) ? text_of(row.documents[d][column.place].variant, "%.9g") : "");
        table.rows.push_back(std::move(cells));
      }
    }
    return table;
  }

  const std::vector<Column> columns_ = all_columns();
  const Options& options_;
  Session& session_;
  ThreadPool& pool_;
  ThreadPool one_thread_;
  std::string hash_;
  std::vector<std::vector<TokenId>> documents_;
  static constexpr std::uint64_t control_draws = 5;
  const std::string floor_ = "numeric floor";
  bool encoder_ = false;
  std::unique_ptr<Variant> reference_;
  std::vector<Variant::Output> reference_outputs_;  // by document, those that are kept
  std::size_t reference_bytes_ = 0;
  std::string calibration_hash_;
  std::vector<ModelText> calibration_;
  std::vector<VariantSpec> variants_;
  std::vector<Row> rows_;
  std::vector<std::string> notes_;
};

void print(const StudyResult& result) {
  const StudyTable& table = result.tables.front();
  for (const auto& row : table.rows) {
    std::printf("%s\n  ", row[0].c_str());
    for (std::size_t c = 1; c < row.size(); ++c) std::printf("%s %s %s", c > 1 ? "," : "", table.header[c].c_str(), row[c].c_str());
    std::printf("\n");
  }
  for (const Estimate& e : result.estimates) {
    std::printf("%-72s %10.3g  [%.3g, %.3g] %s %s\n", e.name.c_str(), e.value, e.low, e.high, e.unit.c_str(), std::string(verdict_name(e.verdict)).c_str());
  }
}

void run(const Options& options) {
  check_study_folder(options.output);
  Session session(options.common);
  const StudyResult result = Tradeoff(options, session).study();
  deliver_study(result, options.output, options.common, print);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common(app, options->common);
  app.add_option("--file", options->file, "texts, separated by blank lines; default: the project's own sentences");
  app.add_option("--documents", options->documents, "at most so many")->check(CLI::Range(2, 100000));
  app.add_option("--tokens", options->tokens, "at most so many of a document")->check(CLI::Range(16, 4096));
  app.add_option("--weights", options->weights, "types to round the weights to; default Q8_0,Q4_0 for files of full precision")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--variant", options->variants, "NAME=SPEC: a row instead of the usual ones, words with '+' between them (`vitrine list shortcuts`, precision:, kernel:, kv:)")
      ->allow_extra_args(false);
  declare_calibration(app, options->calibration);
  app.add_option("--margin", options->margin, "what counts as the same, in each row's unit (declared before the run)")->check(positive_number());
  app.add_option("-o,--output", options->output, "folder of the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_tradeoff() {
  static const Study study{"tradeoff", "what kernels, precision, cache types and shortcuts cost in speed, prediction and attention",
                           "vitrine study tradeoff model.gguf --variant half=magnitude:sparsity=0.5 -o out", declare};
  return study;
}

}  // namespace vitrine
