#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/session.h"
#include "experiments/subcommands.h"
#include "probes/recording_tools/check.h"
#include "probes/recording_tools/difference.h"
#include "probes/recording_tools/export.h"
#include "probes/recording_tools/rewrite.h"

namespace vitrine {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output;
  bool json = false, quiet = false;
  CheckOptions check;
  double tolerance = 1e-5;
  bool maps = false;
  std::size_t threads = 0;
  std::vector<std::string> points, heads;
  std::optional<std::size_t> sequence;
};

Json number(std::size_t value) { return static_cast<std::uint64_t>(value); }

bool check(const Options& options) {
  Run progress(progress_bar(options.quiet));
  const CheckResult result = check_recording(options.runs[0], options.check, progress);
  if (options.json) {
    Json findings = Json::array(), notes = Json::array();
    for (const CheckResult::Finding& finding : result.findings)
      findings.push(Json::object().set("where", finding.where).set("what", finding.what));
    for (const std::string& note : result.notes) notes.push(note);
    Json json = Json::object()
                    .set("file", options.runs[0])
                    .set("finished", result.finished)
                    .set("sequences", number(result.sequences))
                    .set("rows", number(result.rows));
    json.set("datasets", number(result.datasets)).set("numbers", number(result.numbers)).set("map_rows", number(result.maps_rows));
    json.set("worst_row_sum", result.worst_row_sum).set("worst_output", result.worst_output).set("findings", findings).set("notes", notes);
    std::puts(json.dump(2).c_str());
  } else {
    for (const CheckResult::Finding& finding : result.findings) {
      std::puts(finding.where == "file" ? finding.what.c_str() : (options.runs[0] + ", " + finding.where + ": " + finding.what).c_str());
    }
    for (const std::string& note : result.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
    if (result.datasets == 0) return false;  // it could not be opened: its line says why
    std::printf(
        "%s: %zu finding%s in %zu datasets of %zu rows; %zu numbers looked at, %zu rows of maps rebuilt (sums off by %.1e, outputs by %.1e "
        "at most)\n",
        options.runs[0].c_str(), result.findings.size(), result.findings.size() == 1 ? "" : "s", result.datasets, result.rows,
        result.numbers, result.maps_rows, result.worst_row_sum, result.worst_output);
  }
  return result.findings.empty();
}

void print_rewritten(const Rewritten& result, const Options& options, const std::string& output) {
  if (options.json) {
    Json parts = Json::array();
    for (const Rewritten::Part& part : result.parts) {
      Json json = Json::object()
                      .set("file", part.file)
                      .set("finished", part.finished)
                      .set("sequences", number(part.sequences))
                      .set("rows", number(part.rows))
                      .set("pyramids_left_out", part.squares_left_out);
      if (part.cut_sequence)
        json.set("cut_sequence", number(*part.cut_sequence))
            .set("cut_rows", number(part.cut_rows))
            .set("announced_rows", number(part.announced_rows));
      parts.push(json);
    }
    std::puts(Json::object()
                  .set("file", output)
                  .set("sequences", number(result.sequences))
                  .set("rows", number(result.rows))
                  .set("file_bytes", number(result.bytes))
                  .set("unchanged", result.unchanged)
                  .set("parts", parts)
                  .dump(2)
                  .c_str());
    return;
  }
  if (result.unchanged) return static_cast<void>(std::printf("%s: nothing to repair, the recording is finished; it stays as it is\n", output.c_str()));
  std::printf("%s: %zu sequence%s, %zu rows, %.1f MB\n", output.c_str(), result.sequences, result.sequences == 1 ? "" : "s", result.rows,
              static_cast<double>(result.bytes) / 1e6);
  for (const Rewritten::Part& part : result.parts) {
    if (part.cut_sequence)
      std::printf("sequence %zu of %s holds %zu of the %zu rows that were announced\n", *part.cut_sequence, part.file.c_str(),
                  part.cut_rows, part.announced_rows);
    if (part.squares_left_out) std::printf("the pyramids of %s are left out: maps are rebuilt from their factors\n", part.file.c_str());
  }
}

bool repair(const Options& options) {
  Run progress(progress_bar(options.quiet));
  const std::string output = options.output.empty() ? options.runs[0] : options.output;
  print_rewritten(repair_recording(options.runs[0], output, progress), options, output);
  return true;
}

bool merge(const Options& options) {
  Run progress(progress_bar(options.quiet));
  const std::vector<std::filesystem::path> runs(options.runs.begin(), options.runs.end());
  print_rewritten(merge_recordings(runs, options.output, progress), options, options.output);
  return true;
}

void print_difference(const RecordingDifference& result, const Options& options) {
  std::size_t width = 8;
  for (const auto& dataset : result.datasets) width = std::max(width, dataset.name.size());
  std::printf("%-*s %-10s %12s %12s %12s %10s\n", static_cast<int>(width), "dataset", "types", "rel. error", "1 - cosine", "max |b - a|",
              "misplaced");
  for (const auto& dataset : result.datasets) {
    const std::string types = dataset.type_a + (dataset.type_a == dataset.type_b ? "" : " " + dataset.type_b);
    if (dataset.same_bytes) {
      std::printf("%-*s %-10s %12s\n", static_cast<int>(width), dataset.name.c_str(), types.c_str(), "identical");
    } else if (dataset.changed > 0) {
      std::printf("%-*s %-10s %zu of %zu changed\n", static_cast<int>(width), dataset.name.c_str(), types.c_str(), dataset.changed,
                  dataset.numbers);
    } else {
      std::printf("%-*s %-10s %12.3e %12.3e %12.3e %10zu\n", static_cast<int>(width), dataset.name.c_str(), types.c_str(),
                  dataset.relative_error, 1.0 - dataset.cosine, dataset.largest, dataset.misplaced);
    }
  }
  for (const auto& head : result.heads)
    std::printf("%s H%zu: mean Jensen-Shannon divergence %.6f bits over %zu rows with 8 or more keys\n", head.module.c_str(), head.head,
                head.mean(), head.rows);
  for (const std::string& name : result.only_a) std::printf("only in %s: %s\n", options.runs[0].c_str(), name.c_str());
  for (const std::string& name : result.only_b) std::printf("only in %s: %s\n", options.runs[1].c_str(), name.c_str());
  for (const std::string& line : result.unlike) std::printf("unlike %s\n", line.c_str());
}

Json json_of(const RecordingDifference& result, const Options& options) {
  Json datasets = Json::array(), heads = Json::array(), only_a = Json::array(), only_b = Json::array(), unlike = Json::array();
  for (const auto& dataset : result.datasets) {
    Json json = Json::object()
                    .set("name", dataset.name)
                    .set("type_a", dataset.type_a)
                    .set("type_b", dataset.type_b)
                    .set("numbers", number(dataset.numbers));
    json.set("relative_error", dataset.relative_error);
    if (!std::isfinite(dataset.relative_error)) json.set("relative_error_reason", "all finite numbers of A are zeros");
    datasets.push(json.set("cosine", dataset.cosine)
                      .set("largest", dataset.largest)
                      .set("misplaced", number(dataset.misplaced))
                      .set("changed", number(dataset.changed))
                      .set("identical", dataset.same_bytes));
  }
  for (const auto& head : result.heads)
    heads.push(Json::object()
                   .set("module", head.module)
                   .set("head", number(head.head))
                   .set("jensen_shannon_bits", head.mean())
                   .set("rows", number(head.rows)));
  for (const std::string& name : result.only_a) only_a.push(name);
  for (const std::string& name : result.only_b) only_b.push(name);
  for (const std::string& line : result.unlike) unlike.push(line);
  Json json = Json::object()
                  .set("a", options.runs[0])
                  .set("b", options.runs[1])
                  .set("tolerance", options.tolerance)
                  .set("identical", result.same_bytes());
  json.set("largest_relative_error", result.largest_relative_error())
      .set("misplaced", number(result.misplaced()))
      .set("unlike", unlike)
      .set("only_a", only_a)
      .set("only_b", only_b);
  return json.set("datasets", datasets).set("heads", heads);
}

bool diff(const Options& options) {
  ThreadPool pool(checked_threads(options.threads));
  Run progress(progress_bar(options.quiet));
  const RecordingDifference result =
      compare_recordings(options.runs[0], options.runs[1], options.maps ? CompareMaps::yes : CompareMaps::no, pool, progress);
  const bool equal = result.largest_relative_error() <= options.tolerance && result.misplaced() == 0;
  if (options.json) {
    std::puts(json_of(result, options).set("within_tolerance", equal).dump(2).c_str());
  } else {
    print_difference(result, options);
    if (result.same_bytes()) {
      std::printf("identical: %zu datasets\n", result.datasets.size());
    } else {
      std::printf("%s the tolerance of %g: relative error at most %.3e in %zu datasets, %zu numbers misplaced\n",
                  equal ? "within" : "beyond", options.tolerance, result.largest_relative_error(), result.datasets.size(),
                  result.misplaced());
    }
  }
  return equal;
}

/// "L5H8" or "5.8".
ExportOptions::Head parse_head(const std::string& text) {
  ExportOptions::Head head;
  const bool letters = text.starts_with('L') || text.starts_with('l');
  const char *at = text.data() + (letters ? 1 : 0), *end = text.data() + text.size();
  const auto layer = std::from_chars(at, end, head.layer);
  const bool parted = layer.ec == std::errc() && layer.ptr != end && (letters ? *layer.ptr == 'H' || *layer.ptr == 'h' : *layer.ptr == '.');
  const auto number = parted ? std::from_chars(layer.ptr + 1, end, head.head) : std::from_chars_result{at, std::errc::invalid_argument};
  if (number.ec != std::errc() || number.ptr != end) throw Error({"--head", "a head as L5H8 or 5.8", quoted(text), ""}, Fault::usage);
  return head;
}

bool export_run(const Options& options) {
  if (options.maps != !options.heads.empty())
    throw Error({"--head", "--head and --map together", options.maps ? "--map alone" : "--head alone",
                 "--map --head L5H8 writes the map of that head"},
                Fault::usage);
  ExportOptions chosen{.points = options.points, .sequence = options.sequence, .maps = {}};
  for (const std::string& head : options.heads) chosen.maps.push_back(parse_head(head));
  Run progress(progress_bar(options.quiet));
  const Exported result = export_recording(options.runs[0], options.output, chosen, progress);
  if (options.json) {
    Json names = Json::array();
    for (const std::string& name : result.names) names.push(name);
    std::puts(Json::object().set("file", options.output).set("file_bytes", number(result.bytes)).set("arrays", names).dump(2).c_str());
  } else {
    std::printf("%s: %zu arrays, %.1f MB\n", options.output.c_str(), result.names.size(), static_cast<double>(result.bytes) / 1e6);
  }
  return true;
}

struct Verb {
  const char *name, *summary, *example;
  std::size_t least_runs, most_runs;
  /// False where the answer is no.
  bool (*run)(const Options&);
};
constexpr std::size_t any = 100000;
constexpr Verb verbs[] = {
    {"check", "go through everything that probes/FORMAT.md promises of a recording; one line a finding", "vitrine h5 check run.h5", 1, 1,
     check},
    {"repair", "make a finished recording of what a stopped writer left", "vitrine h5 repair run.h5", 1, 1, repair},
    {"diff", "how far the numbers of one recording are from another's of the same tokens",
     "vitrine h5 diff exact.h5 fast.h5 --tolerance 1e-2", 2, 2, diff},
    {"merge", "the sequences of several recordings in one", "vitrine h5 merge a.h5 b.h5 -o both.h5", 1, any, merge},
    {"export", "write arrays as .npz, .csv or .safetensors", "vitrine h5 export run.h5 -o run.npz --points resid_pre,z", 1, 1, export_run}};

void declare_verb(CLI::App& app, const Verb& verb, Options& options) {
  const std::string name = verb.name;
  const std::string words = verb.most_runs == 1 ? "RUN" : verb.most_runs == 2 ? "A B" : "RUNS";
  app.add_option(words, options.runs, verb.most_runs == 1 ? "a recording" : "recordings")
      ->required()
      ->expected(static_cast<int>(verb.least_runs), static_cast<int>(verb.most_runs));
  app.add_flag("--json", options.json, "the result as JSON");
  app.add_flag("--quiet", options.quiet, "no progress");
  // Each file that a tool opens asks for the key where all programs find it; the name of a key's file is no secret.
  app.add_option_function<std::string>("--key-file", [](const std::string& path) { setenv("VITRINE_KEY_FILE", path.c_str(), 1); },
                                       "the key that opens a protected recording (default: VITRINE_KEY_FILE)");
  if (name == "repair") app.add_option("-o,--output", options.output, "the new file (default: RUN itself, in one step)");
  if (name == "merge" || name == "export")
    app.add_option("-o,--output", options.output,
                   name == "merge" ? "the new recording" : "a file that ends with .npz, .csv or .safetensors")
        ->required();
  if (name == "check")
    app.add_option("--rows", options.check.sampled_rows, "rows of each head whose maps are rebuilt (default 16)")->check(whole_number(0));
  if (name == "diff") {
    app.add_option("--tolerance", options.tolerance, "largest relative error of a dataset (default 1e-5); beyond it the exit code is 1")
        ->check(CLI::NonNegativeNumber);
    app.add_flag("--maps", options.maps, "also the mean Jensen-Shannon divergence of every head's map, rebuilt from the factors");
    app.add_option("--threads", options.threads, "default: the cores this process may use")->check(whole_number(1, 1024));
  }
  if (name != "export") return;
  app.add_option("--points", options.points, "hook names (with *) or short names; default: every activation, token ids and probabilities")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--sequence", options.sequence, "one sequence, counted from 0 (default: all, one behind the other)")
      ->check(whole_number(0));
  app.add_option("--head", options.heads, "a head whose map is written, as L5H8 (with --map; --head L5H8 --head L5H9 for several)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_flag("--map", options.maps, "the maps of the heads, [query, key], rebuilt from the factors");
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  std::vector<Subcommand> words;
  for (const Verb& verb : verbs) {
    words.push_back({verb.name, verb.summary, std::string("Example:\n  ") + verb.example, [&verb, options](CLI::App& sub) {
                       declare_verb(sub, verb, *options);
                       return std::function<void()>([&verb, options] {
                         if (!verb.run(*options)) throw AnsweredNo();
                       });
                     }});
  }
  return declare_subcommands(app, words, "see `vitrine h5 --help`");
}

}  // namespace

const Command& command_h5() {
  static const Command command{"h5", "check, repair, compare, merge and export recordings", "vitrine h5 check run.h5", declare};
  return command;
}

}  // namespace vitrine
