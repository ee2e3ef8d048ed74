#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <random>

#include "core/base/error.h"
#include "core/tensor/sparse_rows.h"
#include "experiments/hook_errors.h"
#include "experiments/number_range_internal.h"
#include "probes/figures/figure_text.h"
#include "experiments/session.h"
#include "experiments/study.h"
#include "experiments/variant.h"
#include "probes/analysis.h"
#include "probes/statistics/attention_drift.h"

// How far every hook of a quantised, pruned or otherwise changed file is from that of the file it was made of: ||a - b|| / ||b|| and cosine by
// hook and block, and the drift of every head's map. All files run exactly, by the same kernel, so that weights alone differ. Beside them the
// numeric floor (the reference by another kernel) and noise of the same size on the reference's weights.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::vector<std::string> others;
  std::string output;
  std::size_t draws = 5;
  double margin = 0.01;
};

using Errors = std::map<ProbePoint, HookError>;

/// One text in one variant.
struct Compared {
  Errors errors;
  std::vector<double> drift;  // [layers x heads], bits
};

/// A file, a draw of its noise, or the floor.
struct Row {
  std::string name, file;  // file: the one that noise is matched to, or that it is
  enum class Kind { floor, file, noise } kind = Kind::file;
  std::vector<Compared> texts;
  std::string complaint{};  // why the reference is none for this file
};

double relative_distance(const Tensor& a, const Tensor& reference) {
  HookError error;
  for (std::size_t i = 0; i < reference.floats().size(); ++i) {
    const double x = a.floats()[i], y = reference.floats()[i];
    error += {(x - y) * (x - y), y * y, x * x, x * y};
  }
  return error.relative();
}

/// How far rounding to a type moves Gaussian numbers; none where this program does not round to it.
std::optional<double> rounding_distance(DType type) {
  constexpr std::size_t count = 4096;
  if (dtype_info(type).compress == nullptr) return std::nullopt;
  std::mt19937_64 random(0);
  std::normal_distribution<float> normal;
  Tensor numbers(DType::f32, {1, count}), rounded(type, {1, count});
  for (float& number : numbers.floats()) number = normal(random);
  dtype_info(type).compress(numbers.floats().data(), rounded.bytes().data(), count);
  return relative_distance(expand(make_weight(std::move(rounded))), numbers);
}

/// A reference that was itself made of such a file holds its numbers: against it the type looks free of error. Empty where nothing says so.
std::string complaint_of(const Model& reference, const Model& other) {
  const WeightKey key = block_matrices(reference).front();
  const Weight &of_reference = reference.weights.at(key), &of_other = other.weights.at(key);
  const auto expected = rounding_distance(of_other.type);
  if (!expected || of_other.type == of_reference.type) return "";
  const double distance = relative_distance(expand(of_other), expand(of_reference));
  if (distance > *expected / 10.0) return "";
  return "the reference is " + format("%.2g", distance) + " from this file where " + std::string(dtype_info(of_other.type).name) + " rounds by " + format("%.2g", *expected) +
         ": it was made of such a file, and is no reference for the type";
}

std::size_t bytes_of_blocks(const Model& model) {
  std::size_t bytes = 0;
  for (const WeightKey& key : block_matrices(model)) bytes += stored_bytes(model.weights.at(key));
  return bytes;
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

class Hooks {
 public:
  Hooks(const Options& options, Session& session)
      : options_(options), session_(session), spec_(session.model().spec), points_(comparable_points(spec_)), inputs_(session.read_all(options.text)) {
    require_context(session.model(), inputs_);
    for (const InputText& input : inputs_) {
      ids_.push_back(ids_of(input.tokens));
      if (ids_.back().empty()) throw Error({"text " + std::to_string(ids_.size() - 1), "at least one token", "none", ""}, Fault::usage);
    }
  }

  StudyResult study() {
    const std::size_t total = 1 + options_.others.size() * (1 + options_.draws);
    add({"numeric floor: the reference by kernel flash", "", Row::Kind::floor, {}, {}}, session_.model(), "flash");
    for (const std::string& path : options_.others) {
      const Model other = load_model(path);
      check(other, path);
      session_.run().step("files", rows_.size(), total);
      add({file_name(path), path, Row::Kind::file, {}, complaint_of(session_.model(), other)}, other, "reference");
      for (std::uint64_t draw = 0; draw < options_.draws; ++draw) {
        session_.run().step("files", rows_.size(), total);
        add({"noise as large as " + file_name(path) + ", draw " + std::to_string(draw + 1), path, Row::Kind::noise, {}, {}},
            with_noise_as_far_as(session_.model(), other, options_.common.seed + draw, session_.ops().pool()), "reference");
      }
    }
    session_.run().step("files", rows_.size(), total);
    return result();
  }

 private:
  void check(const Model& other, const std::string& path) const {
    const ModelSpec& spec = other.spec;
    bool same = spec.blocks.size() == spec_.blocks.size() && spec.width == spec_.width && spec.vocabulary == spec_.vocabulary && spec.stack == spec_.stack;
    for (std::size_t i = 0; same && i < spec.blocks.size(); ++i) {
      const AttentionSpec &a = spec.blocks[i].attention, &b = spec_.blocks[i].attention;
      same = a.heads == b.heads && a.kv_heads == b.kv_heads && a.head_dim == b.head_dim && spec.blocks[i].mlp.width == spec_.blocks[i].mlp.width;
    }
    if (same && bytes_of_blocks(session_.model()) < bytes_of_blocks(other)) {
      throw Error({options_.common.model, "a reference of at least the precision of every file beside it", "fewer bytes of block weights than " + file_name(path),
                   "put the file of the highest precision first"}, Fault::usage);
    }
    if (!same) throw Error({path, "a file of the same model: as many blocks, heads and widths", "another shape", ""}, Fault::usage);
    if (!options_.text.ids.empty()) return;
    if (!other.tokenizer) throw Error({path, "the reference's tokenizer", "none", "give token ids with --ids"}, Fault::usage);
    for (std::size_t t = 0; t < inputs_.size(); ++t) {
      if (ids_of(encode_text(*other.tokenizer, inputs_[t].text, options_.text.bos).tokens) != ids_[t]) {
        throw Error({path, "a file whose tokenizer makes the reference's tokens", "other tokens of text " + std::to_string(t), ""}, Fault::usage);
      }
    }
  }

  /// Runs the reference and a model over every text.
  void add(Row row, const Model& model, const std::string& kernel) {
    ThreadPool& pool = session_.pool();
    Variant reference({"reference", Precision::exact, "reference", DType::f32}, session_.model(), pool);
    Variant other({row.name, Precision::exact, kernel, DType::f32}, model, pool);
    for (const std::vector<TokenId>& ids : ids_) {
      PointValues values(points_);
      Observer* keeps[] = {&values};
      const Variant::Output expected = reference.run(ids, keeps);
      HookComparison comparison(values, points_);
      Observer* compares[] = {&comparison};
      const Variant::Output found = other.run(ids, compares);
      row.texts.push_back({comparison.errors(), drift_of(text_runs(session_.model(), ids, expected, found, pool))});
      if (session_.run().cancelled()) throw Cancelled();
    }
    rows_.push_back(std::move(row));
  }

  /// Mean Jensen-Shannon divergence of each head's rows, in bits; NaN in a text of too few tokens.
  static std::vector<double> drift_of(const TextRuns& runs) {
    std::vector<double> drift(runs.heads);
    runs.pool.run(runs.heads, [&](std::size_t head, std::size_t) {
      const HeadMaps maps = runs.maps(head);
      const std::size_t tokens = runs.ids.size();
      const TensorView<const float, 2> map(maps.reference.data(), {tokens, tokens});
      const std::vector<bool> sink = sink_keys(map, 0);
      AttentionDrift sum;
      for (std::size_t row = maps.causal ? fewest_visible_keys - 1 : 0; row < tokens && tokens >= fewest_visible_keys; ++row) {
        const std::size_t keys = maps.causal ? row + 1 : tokens;
        add_row(sum, {&maps.reference[row * tokens], keys}, {&maps.variant[row * tokens], keys}, std::vector<bool>(sink.begin(), sink.begin() + static_cast<std::ptrdiff_t>(keys)));
      }
      drift[head] = sum.rows > 0.0 ? sum.mean() : std::nan("");
    });
    return drift;
  }

  using Wanted = std::function<bool(const ProbePoint&)>;

  static HookError pooled(const Compared& text, const Wanted& wanted) {
    HookError sum;
    for (const auto& [point, error] : text.errors) {
      if (wanted(point)) sum += error;
    }
    return sum;
  }

  HookError pooled(const Row& row, const Wanted& wanted) const {
    HookError sum;
    for (const Compared& text : row.texts) sum += pooled(text, wanted);
    return sum;
  }

  /// Mean of the draws of a file's noise, and their range.
  std::string noise_cell(const std::string& file, const std::function<double(const Row&)>& value) const {
    std::vector<double> values;
    for (const Row& row : rows_) {
      if (row.kind == Row::Kind::noise && row.file == file) values.push_back(value(row));
    }
    if (values.empty()) return "-";
    double mean = 0.0;
    for (const double number : values) mean += number / static_cast<double>(values.size());
    return format("%.4g [%.4g, %.4g]", mean, std::ranges::min(values), std::ranges::max(values));
  }

  std::vector<std::string> header(const std::string& first) const {
    std::vector<std::string> cells{first, "floor"};
    for (const Row& row : rows_) {
      if (row.kind == Row::Kind::file) cells.insert(cells.end(), {row.name, "noise as large"});
    }
    return cells;
  }

  std::vector<std::string> cells(const std::string& name, const std::function<double(const Row&)>& value) const {
    std::vector<std::string> line{name};
    for (const Row& row : rows_) {
      if (row.kind == Row::Kind::noise) continue;
      line.push_back(format("%.4g", value(row)));
      if (row.kind == Row::Kind::file) line.push_back(noise_cell(row.file, value));
    }
    return line;
  }

  StudyTable by_hook(const std::string& title, double (HookError::*measure)() const) const {
    StudyTable table{title, header("hook"), {}};
    std::vector<std::string> seen;
    for (const ProbePoint& point : points_) {
      const std::string name = hook_name(point);
      if (std::ranges::find(seen, name) != seen.end()) continue;
      seen.push_back(name);
      table.rows.push_back(cells(name, [&](const Row& row) { return (pooled(row, [&](const ProbePoint& p) { return hook_name(p) == name; }).*measure)(); }));
    }
    return table;
  }

  StudyTable by_point() const {
    StudyTable table{"Relative error by hook and block", header("hook"), {}};
    for (const ProbePoint& point : points_) {
      table.rows.push_back(cells(point_name(point), [&](const Row& row) { return pooled(row, [&](const ProbePoint& p) { return p == point; }).relative(); }));
    }
    return table;
  }

  double drift(const Row& row, std::size_t first, std::size_t count) const {
    double sum = 0.0, texts = 0.0;
    for (const Compared& text : row.texts) {
      if (std::isnan(text.drift[first])) continue;
      for (std::size_t h = first; h < first + count; ++h) sum += text.drift[h] / static_cast<double>(count);
      texts += 1.0;
    }
    return texts > 0.0 ? sum / texts : std::nan("");
  }

  StudyTable drifts() const {
    StudyTable table{"Drift of attention maps: mean Jensen-Shannon divergence of rows with at least 8 keys, bits", header("heads"), {}};
    std::size_t first = 0, all = 0;
    for (const BlockSpec& block : spec_.blocks) all += block.attention.heads;
    table.rows.push_back(cells("all heads", [&](const Row& row) { return drift(row, 0, all); }));
    for (std::size_t layer = 0; layer < spec_.blocks.size(); ++layer) {
      const std::size_t heads = spec_.blocks[layer].attention.heads;
      table.rows.push_back(cells("layer " + std::to_string(layer), [&](const Row& row) { return drift(row, first, heads); }));
      for (std::size_t head = 0; head < heads; ++head) {
        table.rows.push_back(cells(head_label(layer, head), [&](const Row& row) { return drift(row, first + head, 1); }));
      }
      first += heads;
    }
    return table;
  }

  /// A file's relative error at a point beside its noise's, text by text.
  Estimate against_noise(const Row& row, const ProbePoint& point) const {
    const Wanted wanted = [&](const ProbePoint& p) { return p == point; };
    std::vector<double> values, differences;
    double control = 0.0;
    for (std::size_t t = 0; t < ids_.size(); ++t) {
      double noise = 0.0;
      for (const Row& other : rows_) {
        if (other.kind == Row::Kind::noise && other.file == row.file) noise += pooled(other.texts[t], wanted).relative() / static_cast<double>(options_.draws);
      }
      values.push_back(pooled(row.texts[t], wanted).relative());
      differences.push_back(values.back() - noise);
      control += noise / static_cast<double>(ids_.size());
    }
    Estimate estimate = clustered_mean("relative error of " + point_name(point) + ": " + row.name, values, {}), judged = clustered_mean("", differences, {});
    judge(judged, 0.0, options_.margin);
    estimate.control = control;
    estimate.verdict = row.complaint.empty() ? judged.verdict : Verdict::not_comparable;
    estimate.margin = options_.margin;
    estimate.reason = !row.complaint.empty() ? row.complaint : format("difference to noise as large %.3g [%.3g, %.3g]", judged.value, judged.low, judged.high);
    estimate.unit = "relative error";
    estimate.direction = Direction::lower;
    estimate.resampled_unit = "text";
    estimate.tier = "exploratory";
    estimate.p.reset();
    estimate.null_value.reset();
    return estimate;
  }

  StudyTable items() const {
    StudyTable table{"", {"item", "variant", "tokens", "hook", "relative_error", "cosine"}, {}};
    std::vector<std::string> names;
    for (const ProbePoint& point : points_) {
      if (std::ranges::find(names, hook_name(point)) == names.end()) names.push_back(hook_name(point));
    }
    for (std::size_t t = 0; t < ids_.size(); ++t) {
      for (const Row& row : rows_) {
        for (const std::string& name : names) {
          const HookError error = pooled(row.texts[t], [&](const ProbePoint& p) { return hook_name(p) == name; });
          table.rows.push_back({std::to_string(t), row.name, std::to_string(ids_[t].size()), name, format("%.9g", error.relative()), format("%.12g", error.cosine())});
        }
      }
    }
    return table;
  }

  StudyResult result() const {
    StudyResult result;
    result.study = "hooks";
    result.title = "Hooks of files of " + session_.model().path.filename().string();
    result.question = "How far is every activation of each file from the reference's on the same texts, and from what noise of the same size on the weights does?";
    const ProbePoint last{.stack = spec_.stack, .block = static_cast<int>(spec_.blocks.size()) - 1, .site = Site::resid_post}, logits{.stack = spec_.stack, .site = Site::logits};
    for (const Row& row : rows_) {
      if (row.kind != Row::Kind::file || options_.draws == 0) continue;
      result.estimates.push_back(against_noise(row, last));
      if (spec_.has_head) result.estimates.push_back(against_noise(row, logits));
    }
    result.tables = {by_hook("Relative error by hook, all blocks and texts", &HookError::relative), by_hook("Cosine by hook, all blocks and texts", &HookError::cosine), drifts(), by_point()};
    result.items = items();
    result.notes = {"Relative error: ||a - b|| / ||b||, b the reference, over all numbers of a hook; -inf and what faces it are left out. Noise: mean of the draws, in brackets the smallest and the largest.",
                    "All files run exactly by the same kernel: weights alone differ. The floor is the same file by another kernel.",
                    "Errors add up from block to block: a late block's is mostly inherited.", "The reference must have the higher precision: rows of a file that is nearer to the original than the reference say nothing."};
    for (const Row& row : rows_) {
      if (!row.complaint.empty()) result.notes.push_back(row.name + ": " + row.complaint + ".");
    }
    result.signature = session_.signature();
    result.signature.set("data_sha256", data_sha256(inputs_)).set("texts", static_cast<std::uint64_t>(ids_.size())).set("margin", options_.margin);
    result.signature.set("noise_draws", static_cast<std::uint64_t>(options_.draws)).set("precision", "exact").set("kernel", "reference").set("kv", "F32");
    result.licenses = "The texts were given by the user; their licence is their publisher's.";
    return result;
  }

  const Options& options_;
  Session& session_;
  const ModelSpec& spec_;
  std::vector<ProbePoint> points_;
  std::vector<InputText> inputs_;
  std::vector<std::vector<TokenId>> ids_;
  std::vector<Row> rows_;
};

void print(const StudyResult& result) {
  for (std::size_t t = 0; t < 3; ++t) {
    const StudyTable& table = result.tables[t];
    std::printf("%s\n", table.title.c_str());
    std::vector<std::vector<std::string>> lines{table.header};
    for (const auto& row : table.rows) {
      if (!row.front().starts_with("L")) lines.push_back(row);  // heads are in the report
    }
    for (const auto& line : lines) {
      for (std::size_t c = 0; c < line.size(); ++c) std::printf(c == 0 ? "%-36s" : " %-32s", line[c].c_str());
      std::puts("");
    }
    std::puts("");
  }
  for (const Estimate& e : result.estimates) std::printf("%s: %.4g %s, %s: %s\n", e.name.c_str(), e.value, std::isfinite(e.low) && std::isfinite(e.high) ? format("[%.4g, %.4g]", e.low, e.high).c_str() : "(too few texts for an interval)", e.reason.c_str(), std::string(verdict_name(e.verdict)).c_str());
  for (std::size_t n = 4; n < result.notes.size(); ++n) std::printf("%s\n", result.notes[n].c_str());
}

void run(const Options& options) {
  require_one_source(options.text);
  check_study_folder(options.output);
  Session session(options.common);
  if (session.has_encoder()) throw Error({options.common.model, "a model of one stack", "an encoder-decoder", ""}, Fault::usage);
  const StudyResult result = Hooks(options, session).study();
  deliver_study(result, options.output, options.common, print);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_exact_common(app, options->common);
  app.remove_option(app.get_option("--precision"));
  app.remove_option(app.get_option("--kernel"));
  app.remove_option(app.get_option("--kv"));
  app.get_option("MODEL")->description("the reference, of the highest precision");
  app.add_option("FILES", options->others, "files of the same model: quantised, pruned, ...")->required();
  declare_texts(app, options->text);
  app.add_option("--draws", options->draws, "of noise as large as each file's")->check(whole_number(0, 100));
  app.add_option("--margin", options->margin, "what counts as the same relative error (declared before the run)")->check(positive_number());
  app.add_option("-o,--output", options->output, "folder of the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_hooks() {
  static const Study study{"hooks", "how far every activation and map of a quantised or changed file is from its reference",
                           "vitrine study hooks model.F16.gguf model.Q8_0.gguf model.Q4_1.gguf --lines texts.txt -o out", declare};
  return study;
}

}  // namespace vitrine
