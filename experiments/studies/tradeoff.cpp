#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/data/pairs.h"
#include "experiments/session.h"
#include "experiments/study.h"
#include "experiments/variant.h"
#include "kernels/kernels.h"

// What each shortcut costs in one table: speed, memory, prediction and attention, against a reference of the highest
// precision. Documents are what is resampled. Divergences cannot be negative, so they are never tested against zero: they
// stand beside a control, the numeric floor for kernels and precision, noise of the same size for rounded weights.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  std::string file, output;
  std::vector<std::string> weights;
  std::size_t documents = 12, tokens = 128;
  double margin = 0.01;
};

/// What one variant did on one document, against the reference.
struct DocumentResult {
  double divergence = 0.0;       // KL(reference || variant), nats a token
  double jensen_shannon = 0.0;   // bits a token
  double log_likelihood = 0.0;   // of the variant, nats a token
  double reference_likelihood = 0.0;
  double embedding = 0.0;        // ||e - e'|| / ||e||
  double drift = 0.0, sink_shift = 0.0, content_drift = 0.0;  // mean over heads, bits
  std::size_t scored = 0;
};

struct Row {
  std::unique_ptr<Variant> variant;
  std::string control;  // name of the row it is compared with; empty for controls
  std::vector<DocumentResult> documents;
  std::vector<double> prefill, decode;  // tokens a second, one a round
};

std::string text_of(double value, const char* format = "%.4g") {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return std::isfinite(value) ? text : "-";
}

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
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

/// Means over positions of a document; distributions of 49,152 tokens are summed in double.
void compare_logits(const Variant::Output& reference, const Variant::Output& variant, std::span<const TokenId> ids, ThreadPool& pool,
                    DocumentResult& result) {
  if (reference.logits.empty()) return;
  const std::size_t vocabulary = reference.logits.size() / ids.size();
  std::vector<DocumentResult> rows(ids.size());
  pool.run(ids.size(), [&](std::size_t i, std::size_t) {
    const float *a = reference.logits.data() + i * vocabulary, *b = variant.logits.data() + i * vocabulary;
    const auto log_sum = [&](const float* row) {
      const double top = *std::max_element(row, row + vocabulary);
      double sum = 0.0;
      for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(row[v] - top);
      return top + std::log(sum);
    };
    const double a_sum = log_sum(a), b_sum = log_sum(b);
    for (std::size_t v = 0; v < vocabulary; ++v) {
      const double log_p = a[v] - a_sum, log_q = b[v] - b_sum, p = std::exp(log_p), q = std::exp(log_q), middle = (p + q) / 2.0;
      rows[i].divergence += p * (log_p - log_q);
      if (middle > 0.0) rows[i].jensen_shannon += (p > 0.0 ? p * std::log2(p / middle) : 0.0) / 2.0 + (q > 0.0 ? q * std::log2(q / middle) : 0.0) / 2.0;
    }
    if (i + 1 >= ids.size()) return;
    rows[i].log_likelihood = b[ids[i + 1]] - b_sum;
    rows[i].reference_likelihood = a[ids[i + 1]] - a_sum;
  });
  const auto count = static_cast<double>(ids.size()), scored = static_cast<double>(ids.size() - 1);
  for (const DocumentResult& row : rows) {
    result.divergence += row.divergence / count;
    result.jensen_shannon += row.jensen_shannon / count;
    result.log_likelihood += row.log_likelihood / scored;
    result.reference_likelihood += row.reference_likelihood / scored;
  }
  result.scored = ids.size() - 1;
}

void compare_embeddings(const Variant::Output& reference, const Variant::Output& variant, DocumentResult& result) {
  double difference = 0.0, size = 0.0;
  for (std::size_t c = 0; c < reference.embedding.size(); ++c) {
    difference += std::pow(variant.embedding[c] - reference.embedding[c], 2);
    size += std::pow(reference.embedding[c], 2);
  }
  result.embedding = std::sqrt(difference / std::max(size, 1e-300));
}

void compare_attention(const Variant::Output& reference, const Variant::Output& variant, std::size_t tokens, ThreadPool& pool,
                       const ModelSpec& spec, DocumentResult& result) {
  double heads = 0.0;
  for (const auto& block : attention_drift(spec, *reference.attention, *variant.attention, tokens, pool)) {
    for (const AttentionDrift& drift : block) {
      result.drift += drift.mean();
      result.sink_shift += drift.mean_sink_shift();
      result.content_drift += drift.content_drift();
      heads += 1.0;
    }
  }
  for (double* mean : {&result.drift, &result.sink_shift, &result.content_drift}) *mean /= heads;
}

class Tradeoff {
 public:
  Tradeoff(const Options& options, Session& session)
      : options_(options), session_(session), pool_(session.ops().pool()), one_thread_(1, initialize_worker),
        documents_(documents_of(session.model(), options, hash_)) {
    const Model& model = session.model();
    encoder_ = !model.spec.has_head;
    reference_ = std::make_unique<Variant>(VariantSpec{"reference: exact, kernel reference, KV F32", Precision::exact, "reference", DType::f32}, model, pool_);
    add({"numeric floor: exact, kernel flash, KV F32", Precision::exact, "flash", DType::f32}, model, pool_, "");
    add({"exact, kernel reference, one thread", Precision::exact, "reference", DType::f32}, model, one_thread_, floor_);
    add({"exact, kernel online_softmax, KV F32", Precision::exact, "online_softmax", DType::f32}, model, pool_, floor_);
    add({"fast, kernel flash, KV F32", Precision::fast, "flash", DType::f32}, model, pool_, floor_);
    if (!encoder_) add({"fast, kernel flash, KV F16", Precision::fast, "flash", DType::f16}, model, pool_, floor_);
    add_weights(model);
  }

  StudyResult study() {
    measure();
    time();
    return result();
  }

 private:
  void add(VariantSpec spec, Model model, ThreadPool& pool, const std::string& control) {
    Row row;
    row.control = control;
    row.variant = std::make_unique<Variant>(std::move(spec), std::move(model), pool);
    rows_.push_back(std::move(row));
  }

  /// Rounded weights beside noise of the same size, both run exactly, so that nothing else differs.
  void add_weights(const Model& model) {
    const DType file_type = model.weights.at(block_matrices(model).front()).type;
    const bool quantized = dtype_info(file_type).quantized;
    std::vector<std::string> names = options_.weights;
    if (names.empty() && quantized) {
      notes_.push_back("No rows for weight types: the file's weights are " + std::string(dtype_info(file_type).name) +
                       " already, and against it every type would look better or worse than it is. Start from a file of full precision.");
    }
    if (names.empty() && !quantized) names = {"Q8_0", "Q4_0"};
    for (const std::string& name : names) {
      const auto type = parse_dtype(name);
      if (!type || dtype_info(*type).compress == nullptr) throw Error({"--weights", "F16, BF16, Q8_0, Q4_0 or Q4_1", quoted(name), ""}, Fault::usage);
      const std::string title = std::string(dtype_info(*type).name) + (quantized ? " on top of " + std::string(dtype_info(file_type).name) : "");
      const std::string control = "control: noise as large as " + title;
      for (std::uint64_t draw = 0; draw < 5; ++draw) {
        add({control + ", draw " + std::to_string(draw + 1), Precision::exact, "flash", DType::f32}, with_matched_noise(model, *type, options_.common.seed + draw), pool_, "");
      }
      add({"weights " + title, Precision::exact, "flash", DType::f32}, with_weights(model, *type), pool_, control);
    }
  }

  void measure() {
    for (std::size_t d = 0; d < documents_.size(); ++d) {
      const std::vector<TokenId>& ids = documents_[d];
      const Variant::Output reference = reference_->run(ids);
      for (Row& row : rows_) {
        const Variant::Output output = row.variant->run(ids);
        DocumentResult result;
        compare_logits(reference, output, ids, pool_, result);
        compare_embeddings(reference, output, result);
        compare_attention(reference, output, ids.size(), pool_, session_.model().spec, result);
        row.documents.push_back(result);
      }
      session_.run().step("documents", d + 1, documents_.size());
    }
  }

  /// Rounds that visit every variant in turn, so that a busy minute of the machine meets all of them.
  void time() {
    constexpr std::size_t rounds = 3, decode_tokens = 16;
    const std::vector<TokenId>& prompt = *std::max_element(documents_.begin(), documents_.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    for (std::size_t round = 0; round < rounds; ++round) {
      for (Row& row : rows_) {
        if (row.variant->spec().name.starts_with("control")) continue;
        const Variant::Timing timing = row.variant->time(prompt, decode_tokens);
        row.prefill.push_back(static_cast<double>(prompt.size()) / timing.prefill_seconds);
        if (timing.decode_seconds > 0.0) row.decode.push_back(decode_tokens / timing.decode_seconds);
      }
      session_.run().step("timing", round + 1, rounds);
    }
  }

  using Measure = double DocumentResult::*;

  /// Per document, the mean of the rows whose names begin so: a control may have several draws.
  std::vector<double> values_of(const std::string& name, Measure measure) const {
    std::vector<double> values(documents_.size(), 0.0);
    double count = 0.0;
    for (const Row& row : rows_) {
      if (!row.variant->spec().name.starts_with(name)) continue;
      for (std::size_t d = 0; d < values.size(); ++d) values[d] += row.documents[d].*measure;
      count += 1.0;
    }
    for (double& value : values) value /= std::max(count, 1.0);
    return values;
  }

  /// A quantity that cannot be negative: judged by its difference to the control.
  Estimate against_control(const Row& row, const std::string& what, Measure measure, const char* unit) const {
    const std::string& name = row.variant->spec().name;
    const std::vector<double> values = values_of(name, measure), control = values_of(row.control, measure);
    std::vector<double> difference;
    double control_mean = 0.0;
    for (std::size_t d = 0; d < values.size(); ++d) {
      difference.push_back(values[d] - control[d]);
      control_mean += control[d] / static_cast<double>(values.size());
    }
    Estimate estimate = clustered_mean(what + ": " + name, values, {}), judged = clustered_mean("", difference, {});
    judge(judged, 0.0, options_.margin);
    estimate.control = control_mean;
    estimate.verdict = judged.verdict;
    estimate.margin = options_.margin;
    estimate.reason = "difference to the control " + text_of(judged.value, "%.3g") + " [" + text_of(judged.low, "%.3g") + ", " + text_of(judged.high, "%.3g") + "]";
    estimate.null_value.reset();
    estimate.p.reset();
    estimate.unit = unit;
    estimate.direction = Direction::lower;
    estimate.resampled_unit = "document";
    return estimate;
  }

  Estimate likelihood_change(const Row& row) const {
    std::vector<double> change;
    for (const DocumentResult& document : row.documents) change.push_back(document.log_likelihood - document.reference_likelihood);
    Estimate estimate = clustered_mean("log-likelihood change: " + row.variant->spec().name, change, {});
    estimate.unit = "nats/token (likelihood)";
    estimate.direction = Direction::higher;
    estimate.resampled_unit = "document";
    estimate.p.reset();
    judge(estimate, 0.0, options_.margin);
    return estimate;
  }

  StudyResult result() {
    StudyResult result;
    result.study = "tradeoff";
    result.title = "Trade-offs of " + session_.model().path.filename().string();
    result.question = "What does each shortcut cost, against exact arithmetic with the reference kernel on the same weights and texts?";
    for (const Row& row : rows_) {
      if (row.control.empty()) continue;
      if (encoder_) {
        result.estimates.push_back(against_control(row, "embedding drift", &DocumentResult::embedding, "relative"));
      } else {
        result.estimates.push_back(against_control(row, "KL to the reference", &DocumentResult::divergence, "nats/token"));
        result.estimates.push_back(likelihood_change(row));
      }
      result.estimates.push_back(against_control(row, "attention drift D", &DocumentResult::drift, "bits"));
    }
    result.tables = {table()};
    result.items = items();
    result.notes = notes_;
    result.notes.push_back("Documents are resampled; divergences are judged by their difference to the control, never against zero.");
    result.notes.push_back("Attention drift D is the mean Jensen-Shannon divergence of rows with at least 8 visible keys, over all heads; sink shift and "
                           "content drift are its two parts, content drift relative to the share of content.");
    result.notes.push_back("Timings: median of 3 interleaved rounds, in brackets smallest and largest; a prompt of the longest document, 16 tokens decoded.");
    result.signature = session_.signature();
    result.signature.set("data", options_.file.empty() ? "template sentences, version 1" : std::filesystem::path(options_.file).filename().string());
    result.signature.set("data_sha256", hash_).set("documents", static_cast<std::uint64_t>(documents_.size()));
    result.signature.set("tokens_at_most", static_cast<std::uint64_t>(options_.tokens)).set("margin", options_.margin);
    result.signature.set("protocol", "documents whole, first token not scored; per token").set("precision", "per row").set("kernel", "per row").set("kv", "per row");
    result.licenses = options_.file.empty() ? template_pairs().license : "The texts were read from a file; their licence is their publisher's.";
    return result;
  }

  static std::string spread(const std::vector<double>& values) {
    if (values.empty()) return "-";
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return text_of(median(values), "%.0f") + " [" + text_of(*low, "%.0f") + ", " + text_of(*high, "%.0f") + "]";
  }

  StudyTable table() const {
    StudyTable table{"One row a variant", {"variant", "prefill tok/s", "decode tok/s", "weights MB", "KV bytes/token", "perplexity", "KL nats/token",
                                           "JSD bits/token", "embedding drift", "D bits", "sink shift bits", "content drift bits"}, {}};
    for (const Row& row : rows_) {
      const auto mean = [&](Measure measure) {
        const std::vector<double> values = values_of(row.variant->spec().name, measure);
        double sum = 0.0;
        for (const double value : values) sum += value / static_cast<double>(values.size());
        return sum;
      };
      double likelihood = 0.0, scored = 0.0;
      for (const DocumentResult& document : row.documents) {
        likelihood += document.log_likelihood * static_cast<double>(document.scored);
        scored += static_cast<double>(document.scored);
      }
      table.rows.push_back({row.variant->spec().name, spread(row.prefill), spread(row.decode), text_of(static_cast<double>(row.variant->model().weights.bytes()) / 1e6, "%.1f"),
                            std::to_string(row.variant->kv_bytes_per_token()), scored > 0.0 ? text_of(std::exp(-likelihood / scored), "%.4f") : "-",
                            encoder_ ? "-" : text_of(mean(&DocumentResult::divergence), "%.3g"), encoder_ ? "-" : text_of(mean(&DocumentResult::jensen_shannon), "%.3g"),
                            text_of(mean(&DocumentResult::embedding), "%.3g"), text_of(mean(&DocumentResult::drift), "%.3g"),
                            text_of(mean(&DocumentResult::sink_shift), "%.3g"), text_of(mean(&DocumentResult::content_drift), "%.3g")});
    }
    return table;
  }

  StudyTable items() const {
    StudyTable table{"", {"item", "variant", "tokens", "kl", "jsd", "loglikelihood", "embedding_drift", "attention_drift", "sink_shift", "content_drift"}, {}};
    for (const Row& row : rows_) {
      for (std::size_t d = 0; d < documents_.size(); ++d) {
        const DocumentResult& r = row.documents[d];
        std::vector<std::string> cells{std::to_string(d), row.variant->spec().name, std::to_string(documents_[d].size())};
        for (const double value : {r.divergence, r.jensen_shannon, r.log_likelihood, r.embedding, r.drift, r.sink_shift, r.content_drift}) {
          cells.push_back(text_of(value, "%.9g"));
        }
        table.rows.push_back(std::move(cells));
      }
    }
    return table;
  }

  const Options& options_;
  Session& session_;
  ThreadPool& pool_;
  ThreadPool one_thread_;
  std::string hash_;
  std::vector<std::vector<TokenId>> documents_;
  const std::string floor_ = "numeric floor";
  bool encoder_ = false;
  std::unique_ptr<Variant> reference_;
  std::vector<Row> rows_;
  std::vector<std::string> notes_;
};

void run(const Options& options) {
  check_study_folder(options.output);
  Session session(options.common);
  const StudyResult result = Tradeoff(options, session).study();
  write_study(result, options.output);
  if (options.common.json) {
    std::puts(to_json(result).dump(2).c_str());
    return;
  }
  for (const auto& row : result.tables.front().rows) {
    std::printf("%s\n   prefill %s, decode %s tok/s; perplexity %s, KL %s nats, embedding drift %s, D %s bits (sink %s, content %s)\n", row[0].c_str(), row[1].c_str(),
                row[2].c_str(), row[5].c_str(), row[6].c_str(), row[8].c_str(), row[9].c_str(), row[10].c_str(), row[11].c_str());
  }
  for (const Estimate& e : result.estimates) {
    std::printf("%-72s %10.3g  [%.3g, %.3g] %s %s\n", e.name.c_str(), e.value, e.low, e.high, e.unit.c_str(), std::string(verdict_name(e.verdict)).c_str());
  }
  std::printf("report: %s/report.html\n", options.output.c_str());
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
  app.add_option("--margin", options->margin, "what counts as the same, in each row's unit (declared before the run)")->check(CLI::PositiveNumber);
  app.add_option("-o,--output", options->output, "folder of the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_tradeoff() {
  static const Study study{"tradeoff", "what kernels, precision, cache and weight types cost in speed, prediction and attention",
                           "vitrine study tradeoff model.gguf -o out", declare};
  return study;
}

}  // namespace vitrine
