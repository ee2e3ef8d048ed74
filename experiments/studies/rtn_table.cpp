#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "core/shortcuts/shortcut.h"
#include "experiments/scoring.h"
#include "experiments/study.h"

// The published check of round-to-nearest: perplexity on WikiText-2's test text in windows of 2,048 tokens, of the model as it is, of 4 bits under a
// grid a row, and of 4 bits in groups. Protocol of GPTQ's authors (Frantar et al. 2022, arXiv:2210.17323 and its opt.py): the lines of the text, blank ones
// empty, are joined with two line ends and tokenised once, with what the tokenizer puts around a text; whole windows that follow one another, the rest
// dropped; a window's mean over its 2,047 predictions; exp of the mean over windows. Embeddings and head are not rounded.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  std::string file, output, published = "auto";
  std::size_t windows = 0, window = 2048;
};

/// Figures that others published, in the order of the rows: as it is, a grid a row, groups.
struct Published {
  std::string_view name;
  std::size_t group;
  double perplexities[3];
  std::string_view source;
};

constexpr Published known[] = {
    {"opt-125m", 128, {27.6559, 37.2831, 30.4803}, "Dercen/LLM-Precision, after Frantar et al. 2022 table 3 (27.65, 37.28)"},
    {"smollm2-135m", 64, {15.4154, 26.6056, 19.9461}, "Dercen/LLM-Precision"},
};
constexpr double margin = 0.005;  // of a published figure: theirs ran in half precision

/// OPT-125M is known by its sizes; a base model and its instructed kin are not, so others are named.
const Published* published_of(const Options& options, const ModelSpec& spec) {
  if (options.published == "none") return nullptr;
  const bool is_opt = spec.architecture == "opt" && spec.width == 768 && spec.blocks.size() == 12 && spec.vocabulary == 50272;
  for (const Published& published : known) {
    if (options.published == published.name || (options.published == "auto" && is_opt && published.name == "opt-125m")) return &published;
  }
  if (options.published == "auto") return nullptr;
  throw Error({"--published", "auto, none, opt-125m or smollm2-135m", quoted(options.published), ""}, Fault::usage);
}

/// The lines as the data set's readers give them: with their line end, or nothing where they are blank.
std::string joined_lines(const std::string& text) {
  std::string joined;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (begin > 0) joined += "\n\n";
    if (line.find_first_not_of(" \t\r") != std::string::npos) joined += line + "\n";
    begin = end + 1;
  }
  return joined;
}

/// The largest group that divides every row: the asked one, or half of it, and so on.
std::size_t group_for(const Model& model, std::size_t wanted) {
  for (std::size_t group = wanted; group >= 8; group /= 2) {
    bool divides = true;
    for (const WeightKey& key : block_matrices(model)) divides = divides && model.weights.at(key).cols % group == 0;
    if (divides) return group;
  }
  return 0;
}

struct Row {
  std::string name;
  std::vector<double> nats;  // of each window, mean over its predictions
  double perplexity() const {
    double sum = 0.0;
    for (const double window : nats) sum += window / static_cast<double>(nats.size());
    return std::exp(sum);
  }
};

class RtnTable {
 public:
  RtnTable(const Options& options, Session& session) : options_(options), session_(session), published_(published_of(options, session.model().spec)) {
    require_next_token_model(session.model());
    const Model& model = session.model();
    if (!model.tokenizer) throw Error({options.common.model, "a tokenizer", "none", ""});
    if (model.spec.context > 0 && model.spec.context < options.window) {
      throw Error({"--window", "at most the model's context, " + std::to_string(model.spec.context), std::to_string(options.window), ""}, Fault::usage);
    }
    const std::string text = read_file("--file", options.file);
    hash_ = sha256(text);
    const std::vector<TokenId> ids = ids_of(model.tokenizer->encode(joined_lines(text), {.add_special = true, .parse_special = false}));
    tokens_ = ids.size();
    for (std::size_t begin = 0; begin + options.window <= ids.size(); begin += options.window) {
      if (options.windows > 0 && texts_.size() == options.windows) break;
      texts_.push_back({{ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(begin + options.window)}, {}, {}});
    }
    if (texts_.empty()) throw Error({"--file " + options.file, "at least a window of " + std::to_string(options.window) + " tokens", std::to_string(ids.size()), ""});
  }

  StudyResult study() {
    const std::size_t group = group_for(session_.model(), published_ ? published_->group : 128);
    measure("as it is", "");
    measure("4 bits, a grid a row", "rtn:bits=4,group=0");
    if (group > 0) measure("4 bits, groups of " + std::to_string(group), "rtn:bits=4,group=" + std::to_string(group));
    return result();
  }

 private:
  void measure(const std::string& name, const std::string& words) {
    Model model = session_.model();
    const KernelChoice& kernel = session_.kernel();
    if (!words.empty()) apply_shortcuts(model, parse_shortcuts(words), {session_.ops(), kernel, session_.workspace(), session_.run(), {}, options_.common.seed});
    Row row{name, {}};
    for (std::size_t w = 0; w < texts_.size(); ++w) {
      const std::vector<TokenId>& ids = texts_[w].ids;
      double nats = 0.0;
      ForwardSinks sinks;
      sinks.logit_rows = LogitRows::all;
      sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
        for (std::size_t r = 0; r < rows.size(); ++r) {
          if (rows[r].position + 1 >= ids.size()) continue;
          nats -= session_.ops().log_probability({&logits(r, 0), logits.extent(1)}, static_cast<std::size_t>(ids[rows[r].position + 1]));
        }
      };
      run_texts({model, session_.ops(), kernel, session_.kv_format(), session_.workspace(), session_.run()}, std::span(texts_).subspan(w, 1), {}, sinks);
      row.nats.push_back(nats / static_cast<double>(ids.size() - 1));
      session_.run().step(name, w + 1, texts_.size());
    }
    rows_.push_back(std::move(row));
  }

  /// Published figures are of the whole text in windows of 2,048.
  bool comparable() const { return published_ && options_.windows == 0 && options_.window == 2048; }

  StudyTable table() const {
    StudyTable table{"Perplexity, " + std::to_string(texts_.size()) + " windows of " + std::to_string(options_.window) + " tokens", {"weights", "perplexity"}, {}};
    if (comparable()) table.header.insert(table.header.end(), {"published", "apart", "within 0.5%"});
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      char number[32], apart[32];
      std::snprintf(number, sizeof number, "%.4f", rows_[i].perplexity());
      table.rows.push_back({rows_[i].name, number});
      if (!comparable()) continue;
      const double published = published_->perplexities[i], share = rows_[i].perplexity() / published - 1.0;
      std::snprintf(number, sizeof number, "%.4f", published);
      std::snprintf(apart, sizeof apart, "%+.3f%%", 100.0 * share);
      table.rows.back().insert(table.rows.back().end(), {number, apart, std::abs(share) <= margin ? "yes" : "no"});
    }
    return table;
  }

  StudyResult result() const {
    StudyResult result;
    result.study = "rtn-table";
    result.title = "Round to nearest: " + session_.model().path.filename().string();
    result.question = "What does rounding every matrix of the blocks to 4 bits cost in perplexity, by the published protocol?";
    for (std::size_t i = 1; i < rows_.size(); ++i) {
      std::vector<double> changes;
      for (std::size_t w = 0; w < texts_.size(); ++w) changes.push_back(rows_[i].nats[w] - rows_[0].nats[w]);
      const std::string name = "change of the loss: " + rows_[i].name;
      result.estimates.push_back(changes.size() > 1 ? described_mean({name, "nats/token", "window"}, changes, {}) : not_measurable(name, "nats/token", "one window has no spread"));
    }
    result.tables = {table()};
    result.items = StudyTable{"", {"window"}, {}};
    for (const Row& row : rows_) result.items.header.push_back(row.name);
    for (std::size_t w = 0; w < texts_.size(); ++w) {
      std::vector<std::string> cells{std::to_string(w)};
      for (const Row& row : rows_) {
        char number[32];
        std::snprintf(number, sizeof number, "%.9g", row.nats[w]);
        cells.emplace_back(number);
      }
      result.items.rows.push_back(std::move(cells));
    }
    add_notes(result);
    result.signature = session_.signature();
    result.signature.set("data", std::filesystem::path(options_.file).filename().string()).set("data_sha256", hash_).set("text_tokens", static_cast<std::uint64_t>(tokens_));
    result.signature.set("protocol", "lines joined with two line ends, tokenised once with the tokenizer's special tokens, whole windows, first token of each not scored");
    result.signature.set("window", static_cast<std::uint64_t>(options_.window)).set("stride", static_cast<std::uint64_t>(options_.window));
    result.licenses = "The text was read from a file; its licence is its publisher's.";
    return result;
  }

  void add_notes(StudyResult& result) const {
    result.notes.push_back("Grids are asymmetric, by the ends of a run and 0, of all matrices of the blocks; embeddings and head stay as they are.");
    if (comparable()) {
      result.notes.push_back("Published: " + std::string(published_->source) + ". Those runs multiplied in half precision; this one is exact, so that figures a few thousandths apart agree.");
    } else if (published_) {
      result.notes.push_back("No published column: those figures are of the whole text in windows of 2,048.");
    } else {
      result.notes.push_back("No published column: no figures are known for this model (--published names one).");
    }
    const DType type = session_.model().weights.at(block_matrices(session_.model()).front()).type;
    if (dtype_info(type).quantized) result.notes.push_back("All rows stand on top of " + std::string(dtype_info(type).name) + ", which the file's weights are already.");
  }

  const Options& options_;
  Session& session_;
  const Published* published_;
  std::string hash_;
  std::size_t tokens_ = 0;
  std::vector<ModelText> texts_;
  std::vector<Row> rows_;
};

void print(const StudyResult& result) {
  const StudyTable& table = result.tables.front();
  std::printf("%s\n", table.title.c_str());
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) std::printf("%s%s %s", c > 0 ? ", " : "  ", c > 0 ? table.header[c].c_str() : "", row[c].c_str());
    std::printf("\n");
  }
  for (const std::string& note : result.notes) std::printf("note: %s\n", note.c_str());
}

void run(const Options& options) {
  check_study_folder(options.output);
  Session session(options.common);
  deliver_study(RtnTable(options, session).study(), options.output, options.common, print);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_exact_common(app, options->common);
  app.add_option("--file", options->file, "WikiText-2's raw test text (wiki.test.raw), or another")->required();
  app.add_option("--window", options->window, "tokens of a window")->check(CLI::Range(16, 1 << 20));
  app.add_option("--windows", options->windows, "at most so many; 0: all");
  app.add_option("--published", options->published, "whose published figures stand beside: auto, none, opt-125m, smollm2-135m");
  app.add_option("-o,--output", options->output, "a folder for the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_rtn_table() {
  static const Study study{"rtn-table", "4-bit rounding to nearest by the published protocol, beside the published figures", "vitrine study rtn-table ./opt-125m --file wiki.test.raw -o out", declare};
  return study;
}

}  // namespace vitrine
