#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "experiments/command.h"
#include "experiments/grid_text.h"
#include "experiments/number_range_internal.h"
#include "experiments/patch_pairs.h"
#include "probes/figures/figure_text.h"
#include "probes/patching/attribution_patching.h"
#include "probes/patching/path.h"
#include "probes/statistics/ratio.h"

// Values of one run in the place of another's, cell by cell: what of a model carries the difference between two texts (or between two
// files of one model, --from). effect = (patched - corrupt) / (clean - corrupt) in both directions: in a corrupt run a cell that restores
// the clean answer has 1, in a clean run a cell that breaks it has 0.

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  PatchPair pair;
  std::string pairs, sweep, by, from, to, direction = "both", method = "patching", svg;
  std::optional<std::size_t> position;
};

/// One way of putting values: into the corrupt runs from clean ones, or the other way round.
struct Direction {
  const char* name;
  const char* meaning;
  bool into_corrupt;
};
constexpr Direction into_corrupt{"clean into corrupt", "1: this cell alone restores the clean answer, 0: it does nothing", true},
    into_clean{"corrupt into clean", "0: this cell alone takes the clean answer away, 1: it does nothing", false};

/// Sweeps of all pairs in one direction.
struct Sweeps {
  const Direction* direction;
  std::vector<PatchSweep> sweeps;

  double clean(std::size_t i) const { return direction->into_corrupt ? sweeps[i].source : sweeps[i].base; }
  double corrupt(std::size_t i) const { return direction->into_corrupt ? sweeps[i].base : sweeps[i].source; }
};

std::vector<Sweeps> run_sweeps(Session& session, const Options& options, std::span<const PatchQuestions> questions, std::vector<SourceRun> from) {
  const SweepPoint point = parse_sweep(session.model().spec, options.sweep, options.by);
  const ModelRunner runner = session.runner();
  std::vector<Sweeps> all;
  for (const Direction* direction : {&into_corrupt, &into_clean}) {
    if (options.direction == (direction->into_corrupt ? "noise" : "denoise")) continue;
    Sweeps& sweeps = all.emplace_back(Sweeps{direction, {}});
    for (std::size_t i = 0; i < questions.size(); ++i) {
      const PatchQuestion& base = direction->into_corrupt ? questions[i].corrupt : questions[i].clean;
      const PatchQuestion& other = direction->into_corrupt ? questions[i].clean : questions[i].corrupt;
      const SourceRun source = from.empty() ? run_source(runner, other, point) : std::move(from[i]);
      const std::size_t first_changed = from.empty() ? questions[i].first_changed : 0;
      if (options.method == "attribution") sweeps.sweeps.push_back(attribution_patch(runner, base, source, point));
      else if (options.to.empty()) sweeps.sweeps.push_back(run_sweep(runner, base, source, point, first_changed));
      else sweeps.sweeps.push_back(run_path_sweep(runner, base, source, parse_path_ends(session.model().spec, options.to), first_changed));
      if (sweeps.sweeps.back().columns != sweeps.sweeps.front().columns) {
        throw Error({"--pairs, pair " + std::to_string(i) + " (counted from 0)", std::to_string(sweeps.sweeps.front().columns) + " columns, as the first pair has",
                     std::to_string(sweeps.sweeps.back().columns), "sweep heads, or give texts of one length in tokens"}, Fault::usage);
      }
    }
  }
  return all;
}

/// Column of the grid: a token's place, a head, or both.
std::vector<std::string> column_labels(const SweepPoint& point, const PatchQuestions& questions, std::size_t columns) {
  if (point.unit == PatchUnit::position) return questions.tokens;
  std::vector<std::string> labels;
  const std::size_t positions = point.unit == PatchUnit::head ? 1 : questions.tokens.size();
  for (std::size_t c = 0; c < columns; ++c) labels.push_back(point.unit == PatchUnit::head ? std::to_string(c) : "H" + std::to_string(c / positions) + " " + questions.tokens[c % positions]);
  return labels;
}

/// What each cell of a direction comes to, over all pairs.
struct Effects {
  AnalysisGrid effect, raw;              // shares; logits, patched minus base
  std::vector<Estimate> estimates;       // of each cell, where there are several pairs
  double clean = 0.0, corrupt = 0.0;     // mean logit differences
};

Effects effects_of(const Sweeps& sweeps, const Options& options, const SweepPoint& point, const PatchQuestions& questions) {
  const PatchSweep& first = sweeps.sweeps.front();
  const auto pairs = static_cast<double>(sweeps.sweeps.size());
  const std::string path = options.to.empty() ? "" : ", direct paths to " + options.to;
  AnalysisGrid grid{.title = options.sweep + ", " + sweeps.direction->name + path, .row_axis = "layer",
                    .column_axis = point.unit == PatchUnit::position ? "position" : point.unit == PatchUnit::head ? "head" : "head and position",
                    .unit = "effect", .row_labels = {}, .column_labels = column_labels(point, questions, first.columns), .values = {}};
  for (std::size_t layer = 0; layer < first.layers; ++layer) grid.row_labels.push_back(std::to_string(layer));
  Effects effects{grid, grid, {}, 0.0, 0.0};
  effects.raw.unit = "logits";
  std::vector<double> spans;
  for (std::size_t i = 0; i < sweeps.sweeps.size(); ++i) {
    spans.push_back(sweeps.clean(i) - sweeps.corrupt(i));
    effects.clean += sweeps.clean(i) / pairs;
    effects.corrupt += sweeps.corrupt(i) / pairs;
  }
  for (std::size_t cell = 0; cell < first.patched.size(); ++cell) {
    std::vector<double> moved;
    double raw = 0.0;
    for (std::size_t i = 0; i < sweeps.sweeps.size(); ++i) {
      moved.push_back(sweeps.sweeps[i].patched[cell] - sweeps.corrupt(i));
      raw += (sweeps.sweeps[i].patched[cell] - sweeps.sweeps[i].base) / pairs;
    }
    const Estimate ratio = ratio_of_means("layer " + grid.row_labels[cell / first.columns] + ", " + grid.column_labels[cell % first.columns], moved, spans);
    effects.effect.values.push_back(ratio.value);
    effects.raw.values.push_back(raw);
    if (sweeps.sweeps.size() > 1) effects.estimates.push_back(ratio);
  }
  return effects;
}

Json matrix_of(std::size_t columns, std::size_t cells, const std::function<double(std::size_t)>& value) {
  Json rows = Json::array();
  for (std::size_t begin = 0; begin < cells; begin += columns) {
    Json row = Json::array();
    for (std::size_t c = begin; c < begin + columns; ++c) row.push(value(c));
    rows.push(row);
  }
  return rows;
}

Json to_json(const Effects& effects, const Direction& direction) {
  const std::size_t columns = effects.effect.column_labels.size(), cells = effects.effect.values.size();
  Json json;
  json.set("effect", matrix_of(columns, cells, [&](std::size_t c) { return effects.effect.values[c]; }));
  const auto none = [](std::span<const double> values) { return !std::ranges::all_of(values, [](double value) { return std::isfinite(value); }); };
  if (none(effects.effect.values)) json.set("effect_reason", "clean and corrupt have the same logit difference, or numbers of a run are not finite: a share of nothing is undefined");
  if (none(effects.raw.values)) json.set("raw_reason", "numbers of a run are not finite");
  json.set("raw", matrix_of(columns, cells, [&](std::size_t c) { return effects.raw.values[c]; }));
  if (!effects.estimates.empty()) {
    json.set("low", matrix_of(columns, cells, [&](std::size_t c) { return effects.estimates[c].low; }));
    json.set("high", matrix_of(columns, cells, [&](std::size_t c) { return effects.estimates[c].high; }));
    const auto endless = [](const Estimate& estimate) { return !std::isfinite(estimate.low) || !std::isfinite(estimate.high); };
    if (std::ranges::any_of(effects.estimates, endless)) json.set("interval_reason", "so few pairs exclude nothing: an end that is null is infinite");
    json.set("level", effects.estimates.front().level).set("method", effects.estimates.front().method);
  }
  json.set("clean", effects.clean).set("corrupt", effects.corrupt);
  if (!std::isfinite(effects.clean) || !std::isfinite(effects.corrupt)) json.set("reason", "numbers of a run are not finite");
  json.set("direction", direction.name).set("meaning", direction.meaning);
  Json labels = Json::array();
  for (const std::string& label : effects.effect.column_labels) labels.push(label);
  return json.set("columns", labels).set("column_axis", effects.effect.column_axis);
}

/// What was asked, so that a reader of the file can repeat a cell of it.
Json question_of(const Options& options, const Session& session, const PatchQuestions& first) {
  Json json = Json::object().set("model", session.model().path.string());
  for (const auto& [name, value] : {std::pair{"clean", &options.pair.clean}, {"corrupt", &options.pair.corrupt}, {"answer", &options.pair.answer}, {"wrong", &options.pair.wrong},
                                    {"pairs", &options.pairs}, {"by", &options.by}, {"from", &options.from}, {"to", &options.to}, {"bos", &options.text.bos}}) {
    if (!value->empty()) json.set(name, *value);
  }
  if (options.position) json.set("position", std::uint64_t{*options.position});
  const bool scored = session.model().spec.causal() && !session.has_encoder();  // `vitrine score` can ask the same of one cell
  if (scored) json.set("tokens", static_cast<std::uint64_t>(first.clean.text.ids.size()));
  return json;
}

std::vector<std::string> notes_of(const Sweeps& sweeps, const Options& options, double first_high) {
  std::vector<std::string> notes;
  std::size_t close = 0;
  for (std::size_t i = 0; i < sweeps.sweeps.size(); ++i) close += std::abs(sweeps.clean(i) - sweeps.corrupt(i)) < 1.0 ? 1 : 0;
  if (close > 0) notes.push_back(std::to_string(close) + " of " + std::to_string(sweeps.sweeps.size()) + " pairs have less than 1 logit between clean and corrupt: shares of so little are loose");
  if (sweeps.sweeps.size() == 1) notes.push_back("one pair is a picture, not a finding: --pairs takes a file of many and gives intervals");
  if (options.method == "attribution") notes.push_back("effects to first order, by derivatives (f32): a cell where a softmax or norm saturates is off; check it with --method patching");
  if (sweeps.sweeps.size() > 1 && !std::isfinite(first_high)) notes.push_back("so few pairs have no interval: low and high are null, or exclude nothing");
  if (!options.from.empty()) notes.push_back("values are those of " + options.from + ": clean is its own logit difference, corrupt that of the model itself");
  return notes;
}

void print(const Session& session, const Options& options, const SweepPoint& point, std::span<const PatchQuestions> questions, std::span<const Sweeps> all, double seconds) {
  std::vector<Effects> effects;
  std::vector<AnalysisGrid> grids;
  for (const Sweeps& sweeps : all) {
    effects.push_back(effects_of(sweeps, options, point, questions.front()));
    grids.push_back(effects.back().effect);
  }
  if (!options.svg.empty()) write_grids(grids, options.svg, "patch-" + options.sweep);
  const std::vector<std::string> notes = notes_of(all.front(), options, effects.front().estimates.empty() ? 0.0 : effects.front().estimates.front().high);
  if (options.common.json) {
    Json json = to_json(effects.front(), *all.front().direction), words = Json::array();
    if (effects.size() > 1) json.set("reverse", to_json(effects.back(), *all.back().direction));
    for (const std::string& note : notes) words.push(note);
    std::uint64_t cells = 0;
    for (const Sweeps& sweeps : all) for (const PatchSweep& sweep : sweeps.sweeps) cells += sweep.passes;
    json.set("sweep", options.sweep).set("method", options.method).set("pairs", static_cast<std::uint64_t>(questions.size())).set("notes", words);
    json.set("cells", cells).set("seconds", seconds).set("question", question_of(options, session, questions.front())).set("signature", session.signature());
    std::puts(json.dump(2).c_str());
    return;
  }
  for (std::size_t d = 0; d < effects.size(); ++d) {
    std::printf("%s: logit difference %.4f clean, %.4f corrupt; %s\n", all[d].direction->name, effects[d].clean, effects[d].corrupt, all[d].direction->meaning);
    std::puts(grid_text(effects[d].effect).c_str());
  }
  for (const std::string& note : notes) std::puts(note.c_str());
}

std::vector<PatchPair> pairs_of(const Options& options) {
  const bool single = !options.pair.clean.empty() || !options.pair.corrupt.empty() || !options.pair.answer.empty() || !options.pair.wrong.empty();
  if (single != options.pairs.empty()) throw Error({"--pairs", "either a file or --clean, --corrupt, --answer and --wrong", single ? "both" : "none", ""}, Fault::usage);
  if (!single) return read_patch_pairs(options.pairs);
  PatchPair pair = options.pair;
  if (pair.corrupt.empty() && !options.from.empty()) pair.corrupt = pair.clean;
  for (const auto& [flag, text] : {std::pair{"--clean", &pair.clean}, {"--corrupt", &pair.corrupt}, {"--answer", &pair.answer}, {"--wrong", &pair.wrong}}) {
    if (text->empty()) throw Error({flag, "a text", "none", "see `vitrine patch --help`"}, Fault::usage);
  }
  return {pair};
}

std::vector<PatchQuestions> questions_of(const Session& session, const Options& options, std::span<const PatchPair> pairs) {
  const SweepPoint point = parse_sweep(session.model().spec, options.sweep, options.by);
  std::vector<PatchQuestions> questions;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    try {
      questions.push_back(read_questions(session, pairs[i], {options.text, options.position, point.stack}));
    } catch (const Error& error) {
      if (options.pairs.empty()) throw;
      throw Error({options.pairs + ", pair " + std::to_string(i) + " (counted from 0)", "texts that can be patched", error.what(), ""}, error.fault());
    }
  }
  return questions;
}

/// The clean texts run by another model of the same shape, which is closed before the own one is opened.
std::vector<SourceRun> runs_of_other(const Options& options, std::span<const PatchPair> pairs, std::vector<PatchQuestions>& questions) {
  CommonOptions common = options.common;
  common.model = options.from;
  Session other(common);
  questions = questions_of(other, options, pairs);
  const SweepPoint point = parse_sweep(other.model().spec, options.sweep, options.by);
  std::vector<SourceRun> runs;
  for (const PatchQuestions& question : questions) runs.push_back(run_source(other.runner(), question.clean, point));
  return runs;
}

void check_other(const Options& options, std::span<const PatchQuestions> own, std::span<const PatchQuestions> other) {
  for (std::size_t i = 0; i < own.size(); ++i) {
    const PatchQuestion &a = own[i].clean, &b = other[i].clean;
    if (a.text.ids != b.text.ids || a.text.source != b.text.source || a.answer != b.answer || a.wrong != b.wrong) {
      throw Error({"--from", "a model that makes the same tokens of the texts", options.from + ", which makes others", ""}, Fault::usage);
    }
  }
}

void run(Options options) {
  if (options.direction != "both" && options.direction != "denoise" && options.direction != "noise") {
    throw Error({"--direction", "both, denoise (clean values into the corrupt run) or noise (corrupt into clean)", quoted(options.direction), ""}, Fault::usage);
  }
  if (options.method != "patching" && options.method != "attribution") throw Error({"--method", "patching or attribution", quoted(options.method), ""}, Fault::usage);
  if (options.method == "attribution" && !options.to.empty()) throw Error({"--to", "--method patching", "--method attribution", ""}, Fault::usage);
  if (options.method == "attribution") options.common.precision = "exact";  // derivatives are those of f32
  if (!options.from.empty()) options.direction = "denoise";
  if (!options.to.empty() && (options.sweep != "z" || (!options.by.empty() && options.by != "head"))) {
    throw Error({"--to", "--sweep z by head: paths begin at heads", "--sweep " + options.sweep + (options.by.empty() ? "" : " --by " + options.by), ""}, Fault::usage);
  }
  const std::vector<PatchPair> pairs = pairs_of(options);
  std::vector<PatchQuestions> of_other;
  std::vector<SourceRun> from;
  if (!options.from.empty()) from = runs_of_other(options, pairs, of_other);
  Session session(options.common);
  const std::vector<PatchQuestions> questions = questions_of(session, options, pairs);
  if (!options.from.empty()) check_other(options, questions, of_other);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Sweeps> sweeps = run_sweeps(session, options, questions, std::move(from));
  const SweepPoint point = parse_sweep(session.model().spec, options.sweep, options.by);
  print(session, options, point, questions, sweeps, seconds_since(start));
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_exact_common(app, options->common);
  declare_shortcuts(app, options->common);
  app.add_option("--clean", options->pair.clean, "a text that the model answers");
  app.add_option("--corrupt", options->pair.corrupt, "a text of as many tokens with another answer");
  app.add_option("--answer", options->pair.answer, "the clean text's next word, one token: ' Mary'");
  app.add_option("--wrong", options->pair.wrong, "the word that it is compared with");
  app.add_option("--pairs", options->pairs, "a CSV or JSON Lines file of clean, corrupt, answer, wrong instead");
  app.add_option("--sweep", options->sweep, "resid_pre, resid_mid, resid_post, attn_out, mlp_out, mlp_post, z, q, k, v, pattern, scores")->required();
  app.add_option("--by", options->by, "position, head or head_position (default: position where a point has no heads, head else)");
  app.add_option("--from", options->from, "another file of the model (quantised, pruned, ...) whose values are put into this one");
  app.add_option("--method", options->method, "patching (default), or attribution: all cells to first order from one pass and one back, in f32");
  app.add_option("--to", options->to, "path patching: only what heads hand directly to these: logits, or inputs of heads as L9H9.q+L9H6.q");
  app.add_option("--direction", options->direction, "both (default), denoise (clean values into the corrupt run) or noise");
  app.add_option("--position", options->position, "the row whose logits are compared (default: the last, or the mask's)")->check(whole_number(0));
  app.add_option("--bos", options->text.bos, "auto (what the tokenizer declares), yes or no");
  declare_decoder_ids(app, options->text);
  app.add_option("--svg", options->svg, "a folder for the pictures");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_patch() {
  static const Command command{"patch", "which values carry the difference between two texts, or between two files of a model",
                               "vitrine patch model.gguf --clean 'The capital of France is' --corrupt 'The capital of Spain is' --answer ' Paris' --wrong ' Madrid' --sweep resid_pre", declare};
  return command;
}

}  // namespace vitrine
