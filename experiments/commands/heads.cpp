#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/secrets.h"
#include "experiments/session.h"
#include "probes/head_maps.h"
#include "probes/head_score.h"

namespace vitrine {
namespace {

struct Options {
  std::string recording, format = "table";
  KeyOptions key;
  std::size_t threads = 0;
  bool json = false, quiet = false;
};

/// @param note  on the maps that scores were made from
void print_json(std::span<const HeadRow> table, const std::optional<std::string>& note) {
  Json rows = Json::array();
  const auto scores = all_head_scores();
  for (const HeadRow& row : table) {
    Json json;
    json.set("module", row.module).set("layer", static_cast<std::uint64_t>(row.layer)).set("head", static_cast<std::uint64_t>(row.head));
    for (std::size_t s = 0; s < scores.size(); ++s) {
      json.set(scores[s]->name, row.scores[s] ? Json(*row.scores[s]) : Json());
      if (!row.scores[s]) json.set(std::string(scores[s]->name) + "_reason", "no row of this text defines it, or numbers of the recording are not finite");
    }
    if (note) json.set("note", *note);
    rows.push(json);
  }
  std::puts(rows.dump(2).c_str());
}

void print_csv(std::span<const HeadRow> table) {
  std::printf("layer,head");
  for (const HeadScore* score : all_head_scores()) std::printf(",%s", std::string(score->name).c_str());
  std::puts(",module");
  for (const HeadRow& row : table) {
    std::printf("%zu,%zu", row.layer, row.head);
    for (const auto& value : row.scores) value ? std::printf(",%.9g", *value) : std::printf(",");
    std::printf(",%s\n", row.module.c_str());
  }
}

/// "L3H5", or "decoder.blocks.3.cross_attn H5" of a model with several kinds.
std::string label_of(const HeadRow& row) {
  const bool only = row.module.starts_with("blocks.");
  return (only ? "L" + std::to_string(row.layer) : row.module + " ") + "H" + std::to_string(row.head);
}

void print_table(std::span<const HeadRow> table) {
  int width = 8;
  for (const HeadRow& row : table) width = std::max(width, static_cast<int>(label_of(row).size()));
  std::printf("%-*s", width, "head");
  for (const HeadScore* score : all_head_scores()) std::printf(" %16s", std::string(score->name).c_str());
  std::printf("\n%-*s", width, "");
  for (const HeadScore* score : all_head_scores()) std::printf(" %16s", ("[" + std::string(score->unit) + "]").c_str());
  std::puts("");
  for (const HeadRow& row : table) {
    std::printf("%-*s", width, label_of(row).c_str());
    for (const auto& value : row.scores) value ? std::printf(" %16.4f", *value) : std::printf(" %16s", "-");
    std::puts("");
  }
}

/// Names of the scores that no map is made for.
std::string exact_scores() {
  std::string names;
  for (const HeadScore* score : all_head_scores()) {
    if (!score->row_statistic.empty()) names += (names.empty() ? "" : ", ") + std::string(score->name);
  }
  return names;
}

void run(const Options& options) {
  const std::string format = options.json ? "json" : options.format;
  if (format != "table" && format != "csv" && format != "json") {
    throw Error({"--format", "table, csv or json", quoted(format), ""}, Fault::usage);
  }
  const auto recording = open_recording(options.recording, options.key);
  if (recording->modules().empty()) {
    throw Error({options.recording, "attention factors", "none", "record with --attention factors"});
  }
  if (recording->sequences() == 0) {
    throw Error({options.recording, "recorded tokens", recording->finished() ? "none" : "none: it is unfinished, and nothing was committed", "record anew"});
  }
  if (!recording->finished()) std::fprintf(stderr, "vitrine: %s is unfinished: only its committed rows are counted\n", options.recording.c_str());
  ThreadPool pool(checked_threads(options.threads));
  Run progress(progress_bar(options.quiet));
  const std::vector<HeadRow> table = head_table(*recording, pool, progress);
  std::optional<std::string> note = note_on_maps(*recording, pool);
  if (note) {
    note = exact_scores() + " are what the kernel computed; of the others: " + *note;
    std::fprintf(stderr, "vitrine: %s\n", note->c_str());
  }
  if (format == "json") return print_json(table, note);
  if (format == "csv") return print_csv(table);
  print_table(table);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RUN", options->recording, "a recording, made by `vitrine record`")->required();
  app.add_option("--format", options->format, "table (default), csv or json");
  app.add_option("--threads", options->threads, "default: the cores this process may use")->check(whole_number(1, 1024));
  app.add_flag("--json", options->json, "short for --format json");
  declare_key_file(app, options->key);
  app.add_flag("--quiet", options->quiet, "no progress");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_heads() {
  static const Command command{"heads", "what every attention head of a recording does, one row a head",
                               "vitrine heads run.h5 --format csv", declare};
  return command;
}

}  // namespace vitrine
