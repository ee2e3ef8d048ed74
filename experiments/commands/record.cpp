#include "probes/recorder.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "experiments/command.h"
#include "experiments/output.h"
#include "experiments/recording_options.h"
#include "experiments/scrubbing.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  RecordingOptions recording;
  std::string scrub, scrub_rules, mips = "auto";
  bool plan = false;
};

using Sequences = std::vector<std::vector<TokenId>>;

/// What goes through the model, or through the decoder beside the texts that its encoder reads.
Sequences sequences_of(const Session& session, const Options& options, std::span<const InputText> inputs) {
  Sequences sequences;
  const std::vector<int>& said = options.text.decoder_ids;
  for (const InputText& input : inputs) {
    if (!session.has_encoder()) {
      sequences.push_back(ids_of(input.tokens));
    } else if (said.empty()) {
      sequences.push_back(session.shifted_right({}));
    } else {
      sequences.emplace_back(said.begin(), said.end());
    }
  }
  return sequences;
}

RecorderOptions options_of(const Session& session, const Options& options, std::span<const InputText> inputs, const Sequences& sequences) {
  RecordingOptions how = options.recording;
  if (options.text.text && !(options.scrub.empty() && options.scrub_rules.empty())) how.untold = *options.text.text;
  RecorderOptions result = recorder_options(session, how, inputs.front().bos_rule);
  result.pyramids = choice<Pyramids>("--mips", options.mips, {{"auto", Pyramids::of_long_texts}, {"none", Pyramids::none}});
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    result.longest_sequence = std::max({result.longest_sequence, inputs[i].tokens.size(), sequences[i].size()});
    result.expected_rows += sequences[i].size();
  }
  return result;
}

/// Which rows of the recording each text has.
Json rows_of(std::span<const InputText> inputs) {
  Json list = Json::array();
  std::uint64_t row = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::uint64_t tokens = inputs[i].tokens.size();
    list.push(Json::object().set("id", static_cast<std::uint64_t>(i)).set("first_row", row).set("tokens", tokens));
    row += tokens;
  }
  return list;
}

Json described(std::span<const Recorder::Dataset> datasets) {
  Json list = Json::array();
  for (const Recorder::Dataset& dataset : datasets) {
    Json shape = Json::array();
    shape.push(static_cast<std::uint64_t>(dataset.rows));
    for (const std::size_t extent : {dataset.heads, dataset.width}) {
      if (extent > 0) shape.push(static_cast<std::uint64_t>(extent));
    }
    Json row;
    row.set("name", dataset.name).set("type", dataset.type).set("shape", shape);
    list.push(row.set("bytes", static_cast<std::uint64_t>(dataset.bytes)));
  }
  return list;
}

std::uint64_t bytes_of(std::span<const Recorder::Dataset> datasets) {
  std::uint64_t bytes = 0;
  for (const Recorder::Dataset& dataset : datasets) bytes += dataset.bytes;
  return bytes;
}

Json result_of(const Recorder& recorder, const Options& options, double seconds) {
  const Recorder::Summary summary = recorder.summary();
  std::error_code ignored;
  Json json;
  json.set("file", options.recording.output).set("rows", static_cast<std::uint64_t>(summary.rows)).set("bytes", bytes_of(summary.datasets));
  json.set("file_bytes", static_cast<std::uint64_t>(std::filesystem::file_size(options.recording.output, ignored)));
  json.set("commits", static_cast<std::uint64_t>(summary.commits));
  json.set("seconds", seconds).set("seconds_recording", summary.seconds);
  return json.set("datasets", described(summary.datasets));
}

/// Every text is a sequence of the one recording, an empty one too.
void record(Session& session, Recorder& recorder, const Scrubbing& scrubbing, std::span<const InputText> inputs, const Sequences& sequences) {
  Observer* observers[] = {&recorder};
  const TapPlan taps(session.model().spec, observers);
  const bool beside = session.has_encoder();
  Sequences texts;
  std::vector<std::vector<std::int32_t>> types;
  for (const InputText& input : inputs) {
    texts.push_back(ids_of(input.tokens));
    types.push_back(beside ? std::vector<std::int32_t>() : types_of(session.model(), input));
  }
  std::size_t begin = 0;
  for (const std::size_t end : batch_ends(texts)) {
    const std::size_t count = end - begin;
    for (std::size_t s = begin; s < end; ++s) {
      beside ? recorder.begin_sequence(plain_tokens(sequences[s]), inputs[s].tokens) : recorder.begin_sequence(inputs[s].tokens);
      if (scrubbing.on()) recorder.mark_scrubbed(scrubbing.marks[s]);
    }
    const auto first = static_cast<std::uint32_t>(begin);
    if (beside) session.encode_batch(std::span(texts).subspan(begin, count), taps, {}, first);
    session.run_batch(std::span(sequences).subspan(begin, count), taps, {}, {first, std::span(types).subspan(begin, count)});
    recorder.end_sequence();
    session.run().step("record", end, sequences.size());
    begin = end;
  }
}

void print_csv(const Json& datasets) {
  std::vector<Json> rows;
  for (const Json& dataset : datasets.items()) {
    std::string shape;
    for (const Json& extent : dataset["shape"].items()) shape += (shape.empty() ? "" : "x") + extent.dump();
    rows.push_back(Json(dataset).set("shape", shape));
  }
  std::fputs(csv_of(rows, std::vector<std::string>{"name", "type", "shape", "bytes"}).c_str(), stdout);
}

/// What gzip leaves of a recording, as shares: the least and the most of those of SmolLM2-135M that were measured (1,039 and 1,243
/// tokens; --store auto, f32 and int8). Nothing but writing it says what it will be.
constexpr std::array<double, 2> share_left_by_gzip{0.70, 0.81};

/// What the run would write; nothing is run.
void print_plan(const Session& session, const Options& options, const Recorder::Plan& plan) {
  Json json;
  json.set("plan", true).set("bytes", bytes_of(plan.datasets)).set("file_bytes", static_cast<std::uint64_t>(plan.file_bytes));
  const bool compressed = options.recording.compress != "none";
  const auto bytes = static_cast<double>(plan.file_bytes);
  if (compressed) {
    Json range = Json::array();
    for (const double share : share_left_by_gzip) range.push(static_cast<std::uint64_t>(bytes * share));
    json.set("compressed_file_bytes_estimate", range).set("note", "bytes and file_bytes are those before gzip; the estimate is by what it left of other recordings");
  }
  json.set("datasets", described(plan.datasets));
  if (options.common.json) {
    std::puts(json.set("signature", session.signature()).dump(2).c_str());
    return;
  }
  print_csv(json["datasets"]);
  if (options.common.csv) return;
  std::printf("%zu datasets, %.1f MB in the file", plan.datasets.size(), bytes / 1e6);
  if (compressed) std::printf(" before gzip, estimated %.1f to %.1f MB behind it (70 to 81%% were left of others)", bytes * share_left_by_gzip[0] / 1e6, bytes * share_left_by_gzip[1] / 1e6);
  std::puts("; nothing was run");
}

std::vector<Recorder::SequenceSize> sizes_of(const Session& session, std::span<const InputText> inputs, const Sequences& sequences) {
  const auto text_bytes = [&](std::span<const TokenId> ids) {
    std::size_t bytes = 0;
    for (const TokenId id : ids) bytes += session.model().tokenizer ? session.model().tokenizer->piece(id).size() : 0;
    return bytes;
  };
  std::vector<Recorder::SequenceSize> sizes;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Recorder::SequenceSize& size = sizes.emplace_back();
    size.tokens = sequences[i].size();
    size.text_bytes = text_bytes(sequences[i]);
    if (!session.has_encoder()) continue;
    size.source_tokens = inputs[i].tokens.size();
    size.source_bytes = text_bytes(ids_of(inputs[i].tokens));
  }
  return sizes;
}

void run(const Options& options) {
  require_one_source(options.text);
  if (options.recording.output.empty() && !options.plan) throw Error({"-o", "a file for the recording", "none", "or --plan, which writes nothing"}, Fault::usage);
  Session session(options.common);
  std::vector<InputText> inputs = session.read_all(options.text);
  const Scrubbing scrubbing = scrub(options.scrub, options.scrub_rules, session, options.text, inputs);
  require_context(session.model(), inputs);
  const auto has_tokens = [](const InputText& input) { return !input.tokens.empty(); };
  if (std::none_of(inputs.begin(), inputs.end(), has_tokens)) throw Error({"input", "at least one token", "none", ""}, Fault::usage);
  const Sequences sequences = sequences_of(session, options, inputs);
  const RecorderSource source{session.model(), session.kernel(), session.ops()};
  RecorderOptions settings = options_of(session, options, inputs, sequences);
  settings.scrub_labels = scrubbing.labels;
  if (options.plan) return print_plan(session, options, Recorder::plan(source, std::move(settings), sizes_of(session, inputs, sequences)));
  settings.readers = readers_of(options.recording);
  if (scrubbing.on()) settings.provenance.set("scrub", scrubbing.to_json());
  const auto recorder = Recorder::create(source, std::move(settings));
  const auto start = std::chrono::steady_clock::now();
  try {
    record(session, *recorder, scrubbing, inputs, sequences);
  } catch (const Cancelled&) {
    std::fprintf(stderr, "vitrine: %s is unfinished; it holds the rows that were committed\n", options.recording.output.c_str());
    throw;
  }
  recorder->finish();
  const double seconds = seconds_since(start);
  Json json = result_of(*recorder, options, seconds);
  if (options.common.csv) return print_csv(json["datasets"]);
  if (scrubbing.on()) json.set("scrub", scrubbing.to_json());
  if (options.text.many()) json.set("sequences", rows_of(inputs));
  if (options.common.json) {
    std::puts(json.dump(2).c_str());
    return;
  }
  std::printf("%s: %zu text%s, %s tokens, %zu datasets, %.1f MB in %.2f s, of which %.2f s recording\n", options.recording.output.c_str(), inputs.size(),
              inputs.size() == 1 ? "" : "s", json["rows"].dump().c_str(), json["datasets"].items().size(), json["file_bytes"].number() / 1e6,
              seconds, json["seconds_recording"].number());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_interventions(app, options->common);
  declare_texts(app, options->text);
  declare_pair(app, options->text);
  declare_decoder_ids(app, options->text);
  app.add_option("-o,--output", options->recording.output, "the recording (HDF5)");
  declare_recording(app, options->recording);
  app.add_option("--mips", options->mips, "auto (default: maps of texts of more than 1,024 tokens, pooled to squares for a first look) or none");
  app.add_flag("--plan", options->plan, "print what would be stored and how large the file would be; run nothing");
  declare_scrub(app, options->scrub, options->scrub_rules);
  return [options] { run(*options); };
}

}  // namespace

const Command& command_record() {
  static const Command command{"record", "run a text and record activations and attention into an HDF5 file",
                               "vitrine record model.gguf --text 'The cat sat on the mat.' -o run.h5", declare};
  return command;
}

}  // namespace vitrine
