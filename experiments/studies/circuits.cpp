#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/ioi.h"
#include "probes/figures/figure_text.h"
#include "experiments/study.h"
#include "probes/analysis.h"
#include "probes/patching/attribution_patching.h"
#include "probes/patching/mediation.h"
#include "probes/patching/sweep.h"
#include "probes/statistics/many_hypotheses.h"

// Methods that say which heads matter, scored on models whose circuits were built in (scripts/make-constructed-models): do the heads of the
// circuit come before all others, and are the numbers those of the construction? Some of the other heads attend as sharply as the circuit's and
// write where nothing reads.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  std::string output;
};

/// A model with its truth.json, opened.
struct Built {
  Built(const CommonOptions& common, const std::filesystem::path& folder) : session(with_model(common, folder)), truth(parse_json(read_file(folder.string(), (folder / "truth.json").string()), "truth.json")) {
    const std::string where = (folder / "truth.json").string();
    for (const char* needed : {"clean", "corrupt", "heads"}) {
      if (!truth[needed].is_array()) throw Error({where, "a list " + quoted(std::string_view(needed)), "none", "write the models anew with scripts/make-constructed-models"});
    }
    if (!truth["answer"].is_integer() || !truth["wrong"].is_integer()) throw Error({where, "an answer and a wrong one", "none", "write the models anew with scripts/make-constructed-models"});
  }
  static CommonOptions with_model(CommonOptions common, const std::filesystem::path& folder) {
    common.model = folder.string();
    return common;
  }
  PatchQuestion question(std::string_view which) const {
    PatchQuestion question{{{}, {}, {}}, static_cast<TokenId>(truth["answer"].integer()), static_cast<TokenId>(truth["wrong"].integer()), 0};
    for (const Json& id : truth[which].items()) question.text.ids.push_back(static_cast<TokenId>(id.integer()));
    question.position = question.text.ids.size() - 1;
    return question;
  }
  Session session;
  Json truth;
};

/// A reading of every head's part, layer by layer.
struct Method {
  const char* name;
  const char* truth;  // the construction's numbers in truth.json, or null
  std::vector<double> (*score)(Built& built);
};

/// Sets one head's numbers at a point to 0.
class OneHead : public Observer {
 public:
  OneHead(Site site, HeadIndex head) : site_(site), head_(head) {}
  Access access(const ProbePoint& point) const override { return point.site == site_ && point.block == static_cast<int>(head_.layer) ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef>, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < values.extent(0); ++r) std::fill_n(&values(r, head_.head, 0), values.extent(2), 0.0f);
  }

 private:
  Site site_;
  HeadIndex head_;
};

double difference(Built& built, std::span<Observer* const> observers) {
  const PatchQuestion question = built.question("clean");
  double difference = 0.0;
  ForwardSinks sinks{.logit_rows = LogitRows::last};
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) {
    difference = static_cast<double>(logits(0, static_cast<std::size_t>(question.answer))) - static_cast<double>(logits(0, static_cast<std::size_t>(question.wrong)));
  };
  run_texts(built.session.runner(), {&question.text, 1}, observers, sinks);
  return difference;
}

std::vector<double> zero_ablation(Built& built) {
  const double clean = difference(built, {});
  std::vector<double> scores;
  for (const HeadIndex& head : all_heads(built.session.model().spec)) {
    OneHead silent(Site::z, head);
    Observer* observers[] = {&silent};
    scores.push_back(difference(built, observers) - clean);
  }
  return scores;
}

SweepPoint z_of_heads(const Built& built) { return parse_sweep(built.session.model().spec, "z", "head"); }

/// Of what lies between the corrupted and the clean text, how much each head brings back.
std::vector<double> shares_of(const PatchSweep& sweep) {
  std::vector<double> scores;
  for (const double patched : sweep.patched) scores.push_back((patched - sweep.base) / (sweep.source - sweep.base));
  return scores;
}

std::vector<double> patching(Built& built) {
  const SweepPoint point = z_of_heads(built);
  const PatchQuestion clean = built.question("clean"), corrupt = built.question("corrupt");
  return shares_of(run_sweep(built.session.runner(), corrupt, run_source(built.session.runner(), clean, point), point, first_difference(clean.text, corrupt.text)));
}

std::vector<double> attribution_patching(Built& built) {
  const SweepPoint point = z_of_heads(built);
  return shares_of(attribution_patch(built.session.runner(), built.question("corrupt"), run_source(built.session.runner(), built.question("clean"), point), point));
}

std::vector<double> integrated_gradients(Built& built) {
  return shares_of(attribution_patch_between(built.session.runner(), built.question("corrupt"), built.question("clean"), z_of_heads(built), PatchSlope::integrated));
}

std::vector<double> rescale(Built& built) {
  return shares_of(attribution_patch_between(built.session.runner(), built.question("corrupt"), built.question("clean"), z_of_heads(built), PatchSlope::rescaled));
}

/// What silencing a head would do, were the model linear: the sum of (0 - z) * d difference / d z.
std::vector<double> gradient_input(Built& built) {
  const SweepPoint point = z_of_heads(built);
  const PatchQuestion clean = built.question("clean");
  std::vector<ProbePoint> points;
  for (std::size_t block = 0; block < built.session.model().spec.blocks.size(); ++block) points.push_back({.stack = point.stack, .block = static_cast<int>(block), .site = Site::z});
  SourceRun silence{0.0, PointValues(points)};
  std::vector<OneHead> silent;
  std::vector<Observer*> observers;
  for (const HeadIndex& head : all_heads(built.session.model().spec)) silent.emplace_back(Site::z, head);
  for (OneHead& head : silent) observers.push_back(&head);
  observers.push_back(&silence.values);
  run_texts(built.session.runner(), {&clean.text, 1}, observers, {});
  const PatchSweep sweep = attribution_patch(built.session.runner(), clean, silence, point);
  std::vector<double> scores;
  for (const double moved : sweep.patched) scores.push_back(moved - sweep.base);
  return scores;
}

std::vector<double> attribution(Built& built) {
  const PatchQuestion clean = built.question("clean");
  const IoiPrompt prompt{"", clean.text.ids, clean.answer, clean.wrong};
  return attribute_heads(built.session, {&prompt, 1}).values;
}

/// What a map alone says: the last row's weight on the token that the two texts differ in.
std::vector<double> attention(Built& built) {
  const ModelSpec& spec = built.session.model().spec;
  const PatchQuestion clean = built.question("clean");
  const std::size_t changed = first_difference(clean.text, built.question("corrupt").text);
  std::vector<ProbePoint> points;
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) points.push_back({.stack = spec.stack, .block = static_cast<int>(block), .site = Site::pattern});
  PointValues values(points);
  Observer* observers[] = {&values};
  run_texts(built.session.runner(), {&clean.text, 1}, observers, {});
  std::vector<double> scores;
  for (const HeadIndex& head : all_heads(spec)) scores.push_back(static_cast<double>(values.row(points[head.layer], clean.position, head.head)[changed]));
  return scores;
}

constexpr Method methods[] = {{"zero ablation of z", "zero_ablation", zero_ablation}, {"gradient x input of z", "zero_ablation", gradient_input},
                              {"patching of z, clean into corrupted", "patch", patching}, {"attribution patching of z", "patch", attribution_patching},
                              {"integrated gradients of z", "patch", integrated_gradients}, {"DeepLIFT rescale of z", "patch", rescale},
                              {"direct logit attribution", "attribution", attribution}, {"attention to the changed token (baseline)", nullptr, attention}};

/// All heads of the circuit silent at once: the change of the clean difference.
double joint_ablation(Built& built, std::span<const HeadIndex> circuit) {
  std::vector<OneHead> silent;
  std::vector<Observer*> observers;
  for (const HeadIndex& head : circuit) silent.emplace_back(Site::z, head);
  for (OneHead& head : silent) observers.push_back(&head);
  return difference(built, observers) - difference(built, {});
}

/// The largest distance to the construction's own numbers.
std::optional<double> farthest(const Json& truth, std::span<const double> scores) {
  double apart = 0.0;
  std::size_t next = 0;
  for (const Json& row : truth.is_array() ? truth.items() : Json::Array{}) {
    for (const Json& value : row.items()) apart = next < scores.size() ? std::max(apart, std::abs(value.number() - scores[next++])) : apart;
  }
  return next == scores.size() ? std::optional(apart) : std::nullopt;
}

void score(Built& built, StudyTable& table, StudyTable& items) {
  const std::vector<HeadIndex> heads = all_heads(built.session.model().spec);
  const std::string name = built.session.model().path.filename().string();
  std::vector<bool> chosen(heads.size(), false);
  std::vector<HeadIndex> circuit;
  for (const Json& place : built.truth["heads"].items()) {
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const bool is = place.is_array() && place.items().size() >= 2 && heads[h] == HeadIndex{static_cast<std::size_t>(place.items()[0].integer()), static_cast<std::size_t>(place.items()[1].integer())};
      if (!is) continue;
      chosen[h] = true;
      circuit.push_back(heads[h]);
    }
  }
  for (const Method& method : methods) {
    const std::vector<double> scores = method.score(built);
    std::vector<double> sizes;
    std::string found;
    for (std::size_t h = 0; h < heads.size(); ++h) {
      sizes.push_back(std::abs(scores[h]) < 1e-5 ? 0.0 : std::abs(scores[h]));
      if (chosen[h]) found += (found.empty() ? "" : ", ") + head_label(heads[h].layer, heads[h].head) + " " + format("%.4f", scores[h]);
      items.rows.push_back({name, method.name, head_label(heads[h].layer, heads[h].head), chosen[h] ? "1" : "0", format("%.9g", scores[h])});
    }
    const auto apart = method.truth == nullptr ? std::nullopt : farthest(built.truth[method.truth], scores);
    table.rows.push_back({name, method.name, format("%.3f", area_under_curve(sizes, chosen)), found, apart ? format("%.2g", *apart) : "-"});
  }
  const double joint = joint_ablation(built, circuit);
  const Json& built_in = built.truth["joint_zero_ablation"];
  table.rows.push_back({name, "zero ablation of the whole circuit", "-", format("together %.4f", joint), built_in.is_number() ? format("%.2g", std::abs(joint - built_in.number())) : "-"});
}

void print(const StudyResult& result) {
  for (const auto& row : result.tables.front().rows) std::printf("%-12s %-44s area %-6s %-36s off by %s\n", row[0].c_str(), row[1].c_str(), row[2].c_str(), row[3].c_str(), row[4].c_str());
}

void run(const Options& options) {
  check_study_folder(options.output);
  std::vector<std::filesystem::path> folders;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(options.common.model, ignored)) {
    if (std::filesystem::exists(entry.path() / "truth.json")) folders.push_back(entry.path());
  }
  std::ranges::sort(folders);
  if (folders.empty()) throw Error({options.common.model, "a folder of models with their truth.json", "none", "write them with scripts/make-constructed-models"}, Fault::usage);
  StudyResult result;
  result.study = "circuits";
  result.title = "Methods on models with constructed weights";
  result.question = "Which methods put the heads that were built in before all others, and measure what was built?";
  StudyTable table{"Methods", {"model", "method", "area under the curve", "heads of the circuit", "farthest from the construction"}, {}};
  result.items = {"", {"item", "method", "head", "in_circuit", "score"}, {}};
  for (const auto& folder : folders) {
    Built built(options.common, folder);
    score(built, table, result.items);
    result.signature = built.session.signature();
  }
  result.signature.set("data", "models of scripts/make-constructed-models").set("models", static_cast<std::uint64_t>(folders.size()));
  result.tables = {std::move(table)};
  result.notes = {"Area under the curve: the chance that a head of the circuit has a larger size of score than another; 0.5 is chance, also where all scores are 0.",
                  "Single ablation of redundant heads shows 0 by construction; so does direct attribution of heads that act through an MLP or through another head.",
                  "Derivatives at one text (gradient x input, attribution patching) are first orders of ablation and patching: 0 where an MLP or a softmax saturates there.",
                  "This is evidence about the methods on these circuits, not about any trained model."};
  result.licenses = "The models are the project's own.";
  deliver_study(result, options.output, options.common, print);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_exact_common(app, options->common);
  app.get_option("MODEL")->description("a folder of models with constructed weights (scripts/make-constructed-models)");
  app.add_option("-o,--output", options->output, "folder of the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_circuits() {
  static const Study study{"circuits", "methods that find heads, scored on models whose circuits are known",
                           "vitrine study circuits constructed -o out", declare};
  return study;
}

}  // namespace vitrine
