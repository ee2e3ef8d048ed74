#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <ostream>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/recording_report.h"
#include "experiments/report_page.h"
#include "experiments/secrets.h"
#include "experiments/session.h"
#include "experiments/study.h"
#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> inputs;
  std::string output;
  RecordingView view;
  KeyOptions key;
  CommonOptions common;
};

/// What one recording or study comes to.
struct Part {
  std::string title, html;
};

Part part_of_recording(const std::string& path, const Options& options, ThreadPool& pool, Run& run, int level) {
  const auto recording = open_recording(path, options.key);
  if (Recording::is_protected(path)) recording->note({.action = "export", .detail = options.output, .datasets = {"report"}});
  const Json& model = recording->provenance()["model"];
  const std::string title = (model.is_string() ? model.string() + ": " : "") + recording->path().filename().string();
  return {title, recording_html(*recording, options.view, level, pool, run)};
}

/// A folder or its study.json is a study, all else a recording.
Part part_of(const std::string& path, const Options& options, ThreadPool& pool, Run& run, int level) {
  std::error_code ignored;
  const bool names_study = fs::path(path).filename() == "study.json";
  if (!fs::exists(path, ignored)) throw Error({path, "a recording (.h5) or the folder of a study", "no such file", ""});
  if (!names_study && !fs::is_directory(path, ignored)) return part_of_recording(path, options, pool, run, level);
  const StudyResult study = read_study(names_study ? fs::path(path).parent_path() : fs::path(path));
  return {study.title, study_html(study, level)};
}

std::string page_of(std::span<const Part> parts) {
  if (parts.size() == 1) return page_html(parts[0].title, heading_html(1, parts[0].title) + parts[0].html);
  std::string body = heading_html(1, "Report") + "<ol>\n", sections;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    body += format("<li><a href=\"#part%zu\">", i + 1) + escaped(parts[i].title) + "</a></li>\n";
    sections += format("<section id=\"part%zu\">\n", i + 1) + heading_html(2, parts[i].title) + parts[i].html + "</section>\n";
  }
  return page_html("Report: " + parts[0].title + ", ...", body + "</ol>\n" + sections);
}

void run(const Options& options) {
  ThreadPool pool(checked_threads(options.common.threads));
  Run progress(progress_bar(options.common.quiet));
  std::vector<Part> parts;
  for (const std::string& path : options.inputs)
    parts.push_back(part_of(path, options, pool, progress, options.inputs.size() == 1 ? 2 : 3));
  const std::string page = page_of(parts);
  write_in_one_step(options.output, [&](std::ostream& file) { file << page; });
  if (options.common.json) {
    std::puts(Json::object()
                  .set("file", options.output)
                  .set("bytes", static_cast<std::uint64_t>(page.size()))
                  .set("parts", static_cast<std::uint64_t>(parts.size()))
                  .dump(2)
                  .c_str());
    return;
  }
  std::printf("report: %s, %.1f MB\n", options.output.c_str(), static_cast<double>(page.size()) / 1e6);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RUN|DIR", options->inputs, "recordings and folders of finished studies, any number of each")->required();
  app.add_option("-o,--output", options->output, "the HTML file: opens in any browser, without a network, and prints")->required();
  app.add_option("--heads", options->view.heads, "heads whose maps are drawn: L5H8,L3H2 (default: those with the highest scores)")
      ->delimiter(',');
  app.add_option("--sequence", options->view.sequence, "which text of recordings is shown, counted from 0 (0)")->check(whole_number(0));
  declare_without_model(app, options->common);
  declare_key_file(app, options->key);
  return [options] { run(*options); };
}

}  // namespace

const Command& command_report() {
  static const Command command{"report", "recordings and studies as one HTML file that opens anywhere and prints",
                               "vitrine report run.h5 study_folder -o report.html", declare};
  return command;
}

}  // namespace vitrine
