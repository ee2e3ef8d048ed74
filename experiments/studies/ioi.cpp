#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/data/ioi_published.h"
#include "experiments/ioi.h"
#include "probes/figures/figure_text.h"
#include "experiments/study.h"
#include "probes/analysis.h"
#include "probes/patching/sweep.h"

// Indirect objects (Wang et al. 2022): "When John and Mary went to the shops, John gave the bag to" -> Mary. Logit differences, what the
// residual stream is worth behind each block, what each module and head adds, which values bring a corrupted prompt's difference back, and
// which heads look at what in repeated random tokens. Beside the numbers that TransformerLens printed for GPT-2 small, where that is the model.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  std::string published, output;
  std::vector<std::string> points;
};

constexpr double agreement = 1e-4;

/// A published number beside ours.
struct Beside {
  std::string quantity;
  double ours, published;
  double apart() const { return std::abs(ours - published); }
};

std::string cell(double value) { return format("%.6f", value); }

StudyTable beside_table(const std::string& title, std::span<const Beside> rows) {
  StudyTable table{title, {"quantity", "ours", "published", "verdict"}, {}};
  for (const Beside& row : rows) {
    const std::string verdict = row.apart() <= agreement ? "agrees within 1e-4" : "differs by " + format("%.3g", row.apart());
    table.rows.push_back({row.quantity, cell(row.ours), format("%.10g", row.published), verdict});
  }
  return table;
}

std::string column_name(const IoiMatrix& matrix, std::size_t row, std::size_t column) {
  return matrix.columns != 12 || matrix.name.ends_with("_pre") || matrix.name.ends_with("_out") ? "layer " + std::to_string(row) + ", position " + std::to_string(column) : head_label(row, column);
}

std::vector<Beside> printed_numbers(const IoiNumbers& numbers, double mean) {
  std::vector<Beside> rows{{"mean logit difference", mean, published_mean_difference}};
  for (const PublishedNumber& published : published_numbers) {
    const auto matrix = std::ranges::find(numbers.matrices, published.matrix, &IoiMatrix::name);
    if (matrix == numbers.matrices.end() || published.layer >= matrix->rows || published.column >= matrix->columns) continue;
    rows.push_back({matrix->name + ", " + column_name(*matrix, published.layer, published.column), matrix->at(published.layer, published.column), published.value});
  }
  return rows;
}

/// The largest distance over a whole printed matrix; NaN where its shape is not ours.
double farthest(const Json& printed, std::span<const double> ours) {
  std::vector<double> values;
  if (!printed.is_array()) return std::nan("");
  for (const Json& row : printed.items()) {
    if (row.is_number()) values.push_back(row.number());
    for (std::size_t c = 0; row.is_array() && c < row.items().size(); ++c) values.push_back(row.items()[c].is_number() ? row.items()[c].number() : std::nan(""));
  }
  if (values.size() != ours.size()) return std::nan("");
  double apart = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) apart = std::isnan(values[i]) ? values[i] : std::max(apart, std::abs(values[i] - ours[i]));
  return apart;
}

/// Whole matrices of the notebook (../shared/data/golden/tl_ioi_gpt2small.json has them).
StudyTable whole_matrices(const IoiNumbers& numbers, const Json& printed) {
  const std::pair<std::string_view, const Json*> known[] = {
      {"direct attribution of heads", &printed["per_head_dla_12x12"]}, {"patched resid_pre", &printed["patch_resid_pre_12x15"]},
      {"patched attn_out", &printed["patch_attn_out_12x15"]}, {"patched mlp_out", &printed["patch_mlp_out_12x15"]},
      {"patched z", &printed["patch_head_z_12x12"]}, {"patched q", &printed["v3"]["(30, 1)"]}, {"patched k", &printed["v3"]["(30, 2)"]},
      {"patched v", &printed["patch_head_v_12x12"]}, {"patched pattern", &printed["patch_head_pattern_12x12"]},
      {"previous-token score", &printed["prev_token_scores_12x12"]}, {"duplicate-token score", &printed["duplicate_token_scores_12x12"]},
      {"induction score", &printed["induction_scores_12x12"]}};
  StudyTable table{"Whole matrices beside the published ones", {"matrix", "numbers", "farthest apart", "verdict"}, {}};
  const auto add = [&](std::string_view name, std::span<const double> ours, const Json& theirs) {
    const double apart = farthest(theirs, ours);
    table.rows.push_back({std::string(name), std::to_string(ours.size()), std::isnan(apart) ? "-" : format("%.3g", apart),
                          std::isnan(apart) ? "not in the file in this shape" : apart <= agreement ? "agrees within 1e-4" : "differs"});
  };
  const auto second = [](const auto& named) {
    std::vector<double> values;
    for (const auto& [name, value] : named) values.push_back(value);
    return values;
  };
  add("logit lens", second(numbers.lens), printed["logit_lens_mean_logit_diff"]["y"]);
  add("direct attribution of modules", second(numbers.parts), printed["per_component_dla"]["y"]);
  for (const auto& [name, theirs] : known) {
    const auto matrix = std::ranges::find(numbers.matrices, name, &IoiMatrix::name);
    if (matrix != numbers.matrices.end()) add(name, matrix->values, *theirs);
  }
  return table;
}

StudyTable named_table(const std::string& title, const char* what, const std::vector<std::pair<std::string, double>>& values) {
  StudyTable table{title, {what, "logits"}, {}};
  for (const auto& [name, value] : values) table.rows.push_back({name, cell(value)});
  return table;
}

StudyTable matrix_table(const IoiMatrix& matrix) {
  StudyTable table{matrix.name + " (rows: layers; columns: heads or positions)", {"layer"}, {}};
  for (std::size_t c = 0; c < matrix.columns; ++c) table.header.push_back(std::to_string(c));
  for (std::size_t r = 0; r < matrix.rows; ++r) {
    std::vector<std::string>& row = table.rows.emplace_back(std::vector{std::to_string(r)});
    for (std::size_t c = 0; c < matrix.columns; ++c) row.push_back(format("%.9g", matrix.at(r, c)));
  }
  return table;
}

/// The five places of a matrix with the largest sizes.
StudyTable strongest_table(const IoiNumbers& numbers) {
  StudyTable table{"Strongest places", {"quantity", "first", "second", "third", "fourth", "fifth"}, {}};
  for (const IoiMatrix& matrix : numbers.matrices) {
    std::vector<std::size_t> order(matrix.values.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return -std::abs(matrix.values[i]); });
    std::vector<std::string>& row = table.rows.emplace_back(std::vector{matrix.name});
    for (std::size_t k = 0; k < 5; ++k) {
      const std::size_t place = k < order.size() ? order[k] : 0;
      row.push_back((matrix.name.ends_with("_pre") || matrix.name.ends_with("_out") ? std::to_string(place / matrix.columns) + "@" + std::to_string(place % matrix.columns)
                                                                                  : head_label(place / matrix.columns, place % matrix.columns)) + " " + format("%.4f", matrix.values[place]));
    }
  }
  return table;
}

std::vector<std::string> notes_of(const Model& model, bool published) {
  std::vector<std::string> notes{
      "Logit differences and shares of patching are the same for raw, folded and centred weights. Attributions and the lens are those of centred streams read through the "
      "final norm with its gain folded and its scale frozen; a head's part is that of its values without their bias, which no pattern changes.",
      "Patching puts a clean value into the run of the prompt with the names exchanged: 0 leaves its difference, 1 brings the clean one back.",
      "Eight prompts of four sentences: a check of an implementation and a picture of this model, not an estimate over sentences.",
      "Direct attribution leaves out what later modules make of a head; patching a head shows it without its stand-ins."};
  if (!published) notes.push_back("The published numbers are GPT-2 small's and are not shown beside those of " + model.path.filename().string() + ".");
  return notes;
}

std::string published_path(const Options& options) {
  if (!options.published.empty()) return options.published;
  const char* data = std::getenv("VITRINE_DATA");
  const std::string path = data == nullptr ? "" : std::string(data) + "/golden/tl_ioi_gpt2small.json";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? path : "";
}

StudyResult result_of(Session& session, const Options& options, std::span<const IoiPrompt> prompts, const IoiNumbers& numbers) {
  const bool published = shaped_as_gpt2_small(session.model().spec);
  StudyResult result;
  result.study = "ioi";
  result.title = "Indirect objects: " + session.model().path.filename().string();
  result.question = "How does the model find the name that is not said again, and are the numbers those that were published for GPT-2 small?";
  std::vector<std::size_t> sentences;
  for (std::size_t i = 0; i < prompts.size(); ++i) sentences.push_back(i / 2);
  Estimate mean = clustered_mean("mean logit difference, answer less the other name", numbers.differences, sentences);
  mean.unit = "logits";
  mean.resampled_unit = "sentence";
  mean.tier = "exploratory";
  mean.p.reset();
  judge(mean, 0.0, {});
  if (published) {
    result.tables.push_back(beside_table("Beside the published numbers of GPT-2 small", printed_numbers(numbers, mean.value)));
    const std::string path = published_path(options);
    if (!path.empty()) result.tables.push_back(whole_matrices(numbers, parse_json(read_file("--published", path), path)));
  }
  result.tables.push_back({"Silencing the head with the largest attribution at the last position", {"head", "mean difference before", "after"}, {{numbers.ablated, cell(mean.value), cell(numbers.after_ablation)}}});
  result.tables.push_back(strongest_table(numbers));
  result.tables.push_back(named_table("Logit lens: mean difference read off the stream", "behind", numbers.lens));
  result.tables.push_back(named_table("Direct attribution of modules", "module", numbers.parts));
  for (const IoiMatrix& matrix : numbers.matrices) result.tables.push_back(matrix_table(matrix));
  result.estimates.push_back(std::move(mean));
  result.items = {"", {"item", "prompt", "answer", "wrong", "difference"}, {}};
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    result.items.rows.push_back({std::to_string(i), prompts[i].text, std::to_string(prompts[i].answer), std::to_string(prompts[i].wrong), format("%.9g", numbers.differences[i])});
  }
  result.notes = notes_of(session.model(), published);
  std::string all;
  for (const IoiPrompt& prompt : prompts) all += prompt.text + "\n";
  result.signature = session.signature().set("data", "8 prompts of TransformerLens' demonstration").set("data_sha256", sha256(all));
  result.signature.set("bos", session.model().tokenizer->special().bos ? "yes" : "no (the tokenizer has none)");
  result.licenses = "Prompts and published numbers: TransformerLens' demonstrations (MIT).";
  return result;
}

void print(const StudyResult& result) {
  const Estimate& mean = result.estimates.front();
  std::printf("%s: %.6f (%zu prompts)\n", mean.name.c_str(), mean.value, mean.n);
  for (const StudyTable& table : result.tables) {
    if (table.header.front() == "layer") continue;  // whole matrices are in the report
    std::printf("\n%s\n", table.title.c_str());
    for (const auto& row : table.rows) {
      for (std::size_t c = 0; c < row.size(); ++c) std::printf(c == 0 ? "%-44s" : "%-18s ", row[c].c_str());
      std::puts("");
    }
  }
  for (const std::string& note : result.notes) std::printf("%s\n", note.c_str());
}

void run(const Options& options) {
  check_study_folder(options.output);
  Session session(options.common);
  const std::vector<IoiPrompt> prompts = ioi_prompts(session.model());
  for (const std::string& point : options.points) parse_sweep(session.model().spec, point, "");  // refused before anything runs
  const IoiNumbers numbers = measure_ioi(session, prompts, options.points);
  const StudyResult result = result_of(session, options, prompts, numbers);
  deliver_study(result, options.output, options.common, print);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->points = {"resid_pre", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern"};
  declare_exact_common(app, options->common);
  declare_shortcuts(app, options->common);
  app.add_option("--sweep", options->points, "points to patch, all of them by default: resid_pre,attn_out,mlp_out,z,q,k,v,pattern")->delimiter(',')->allow_extra_args(false);
  app.add_option("--published", options->published, "the notebook's whole matrices (tl_ioi_gpt2small.json); default: in the folder that VITRINE_DATA names");
  app.add_option("-o,--output", options->output, "folder of the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_ioi() {
  static const Study study{"ioi", "how a model finds an indirect object, beside what was published for GPT-2 small",
                           "vitrine study ioi gpt2 -o out", declare};
  return study;
}

}  // namespace vitrine
