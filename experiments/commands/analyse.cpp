#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/grid_text.h"
#include "experiments/output.h"
#include "probes/figures/figure_text.h"
#include "experiments/secrets.h"
#include "experiments/session.h"
#include "experiments/subcommands.h"

namespace vitrine {
namespace {

constexpr std::size_t most_rows = 60;  // of a table on a terminal

struct Options {
  const Analysis* analysis = nullptr;
  CommonOptions common;
  KeyOptions key;
  TextOptions text;
  std::vector<std::string> recordings, settings;
  std::string svg;
};

void print_table(const AnalysisTable& table) {
  std::vector<std::vector<std::string>> cells{table.header};
  for (std::vector<std::string>& row : figure_of(table).rows) {
    for (std::string& cell : row) cell = printable(cell);
    cells.push_back(std::move(row));
  }
  std::vector<std::size_t> widths(table.header.size());
  for (const auto& line : cells) {
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  if (!table.title.empty()) std::puts(table.title.c_str());
  const std::size_t shown = std::min(cells.size(), most_rows + 1);  // the header is one
  for (std::size_t l = 0; l < shown; ++l) {
    const std::vector<std::string>& line = cells[l];
    for (std::size_t c = 0; c < line.size(); ++c) std::printf("%s%-*s", c == 0 ? "" : "  ", c + 1 == line.size() ? 0 : static_cast<int>(widths[c]), line[c].c_str());
    std::puts("");
  }
  if (shown < cells.size()) std::printf("(%zu more rows: --format csv, --json)\n", cells.size() - shown);
  std::puts("");
}

/// Without a null value nothing was tested and there is no verdict to show.
void print_estimate(const Estimate& e) {
  const std::string interval = std::isfinite(e.low) && std::isfinite(e.high) ? format(" [%.5g, %.5g]", e.low, e.high) : std::string();
  std::printf("%s: %s%s %s (%.0f%%, n = %zu %s, %s)", e.name.c_str(), std::isfinite(e.value) ? format("%.5g", e.value).c_str() : "-", interval.c_str(), e.unit.c_str(), e.level * 100,
              e.n, e.resampled_unit.c_str(), e.method.empty() ? "no interval" : e.method.c_str());
  if (e.control) std::printf("; control %.5g", *e.control);
  if (e.null_value) std::printf(": %s%s%s", std::string(verdict_name(e.verdict)).c_str(), e.reason.empty() ? "" : ", ", e.reason.c_str());
  else if (interval.empty()) std::printf("; no interval: %s", e.verdict == Verdict::not_measurable ? e.reason.c_str() : "so few texts exclude nothing");
  std::puts("");
}

void print_csv(const AnalysisResult& result) {
  for (const AnalysisTable& table : result.tables) {
    if (result.tables.size() > 1) std::printf("# %s\n", table.title.c_str());
    std::vector<Json> rows;
    for (const std::vector<Json>& cells : table.rows) {
      Json& row = rows.emplace_back();
      for (std::size_t c = 0; c < cells.size(); ++c) row.set(table.header[c], cells[c]);
    }
    std::fputs(csv_of(rows, table.header).c_str(), stdout);
  }
}

void print(const Options& options, const AnalysisResult& result, Json signature) {
  if (!options.svg.empty()) {
    if (result.grids.empty()) throw Error({"--svg", "an analysis with a picture", std::string(options.analysis->name) + ", which has none", ""}, Fault::usage);
    write_grids(result.grids, options.svg, options.analysis->name);
  }
  if (options.common.json) {
    std::puts(to_json(result).set("analysis", options.analysis->name).set("signature", std::move(signature)).dump(2).c_str());
    return;
  }
  if (options.common.csv) return print_csv(result);
  for (const AnalysisTable& table : result.tables) print_table(table);
  for (const AnalysisGrid& grid : result.grids) std::puts(grid_text(grid).c_str());
  for (const Estimate& estimate : result.estimates) print_estimate(estimate);
  for (const std::string& note : result.notes) std::printf("%s\n", note.c_str());
}

void run_model(const Options& options, const AnalysisOptions& settings) {
  const bool reads = options.analysis->of == AnalysisOf::model_and_texts;
  if (reads) require_one_source(options.text);
  Session session(options.common);
  std::vector<InputText> inputs;
  if (reads) {
    inputs = session.read_all(options.text);
    require_context(session.model(), inputs);
  }
  const std::vector<ModelText> texts = session.model_texts(inputs, options.text);
  const ModelRunner runner = session.runner();
  const AnalysisResult result = options.analysis->run({&runner, texts, {}, settings, session.pool(), session.run()});
  print(options, result, reads ? session.signature().set("data_sha256", data_sha256(inputs)) : session.signature());
}

void run_recordings(const Options& options, const AnalysisOptions& settings) {
  std::vector<std::unique_ptr<Recording>> owned;
  std::vector<const Recording*> recordings;
  Json files = Json::array();
  for (const std::string& path : options.recordings) {
    recordings.push_back(owned.emplace_back(open_recording(path, options.key)).get());
    if (recordings.back()->sequences() == 0) throw Error({path, "recorded tokens", "none", "record anew"});
    files.push(Json::object().set("file", path).set("provenance", recordings.back()->provenance()));
  }
  ThreadPool pool(checked_threads(options.common.threads));
  Run run(progress_bar(options.common.quiet));
  print(options, options.analysis->run({nullptr, {}, recordings, settings, pool, run}), Json::object().set("recordings", files).set("version", VITRINE_VERSION));
}

std::string settings_help(const Analysis& analysis) {
  std::string text = "Defined in probes/analyses/" + std::string(analysis.name) + ".cpp; source: " + std::string(analysis.source) + "\n";
  for (const AnalysisOption& option : analysis.options) {
    text += "  --set " + std::string(option.name) + "=" + std::string(option.fallback) + "  " + std::string(option.meaning) + "\n";
  }
  return text + "Example:\n  " + std::string(analysis.example);
}

std::function<void()> declare_one(const Analysis& analysis, CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->analysis = &analysis;
  const bool of_recordings = analysis.of == AnalysisOf::recording || analysis.of == AnalysisOf::recordings;
  if (of_recordings) {
    const int count = analysis.of == AnalysisOf::recording ? 1 : 2;
    app.add_option("RUN", options->recordings, count == 1 ? "a recording, made by `vitrine record`" : "two recordings")->required()->expected(count);
    options->common.prints_rows = true;
    declare_without_model(app, options->common);
    declare_key_file(app, options->key);
  } else {
    declare_common_with_rows(app, options->common);
    declare_shortcuts(app, options->common);
    if (analysis.of == AnalysisOf::model_and_texts) {
      declare_texts(app, options->text);
      declare_decoder_ids(app, options->text);
    }
  }
  app.add_option("--set", options->settings, "name=value, a setting of the analysis")->allow_extra_args(false);
  app.add_option("--svg", options->svg, "a folder for the pictures");
  return [options, of_recordings] {
    const AnalysisOptions settings(options->analysis->options, options->settings);
    of_recordings ? run_recordings(*options, settings) : run_model(*options, settings);
  };
}

std::function<void()> declare(CLI::App& app) {
  std::vector<Subcommand> words;
  for (const Analysis* analysis : all_analyses()) {
    words.push_back({std::string(analysis->name), std::string(analysis->summary), settings_help(*analysis), [analysis](CLI::App& sub) { return declare_one(*analysis, sub); }});
  }
  return declare_subcommands(app, words, "see `vitrine list analyses`");
}

}  // namespace

const Command& command_analyse() {
  static const Command command{"analyse", "a question about a model or a recording: lenses, attributions, circuits, rollout, ...",
                               "vitrine analyse attention_rollout run.h5 --svg pictures", declare};
  return command;
}

}  // namespace vitrine
