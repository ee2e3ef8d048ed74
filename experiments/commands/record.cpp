#include "probes/recorder.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "experiments/command.h"
#include "experiments/output.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::string output, attention = "factors", compress = "none";
  std::vector<std::string> points{"default"}, store{"auto"};
  bool plan = false;
};

template <typename Value>
Value choice(const std::string& flag, const std::string& word, const std::map<std::string, Value>& known) {
  const auto found = known.find(word);
  if (found != known.end()) return found->second;
  std::string expected;
  for (const auto& [name, value] : known) expected += (expected.empty() ? "" : ", ") + name;
  throw Error({flag, expected, quoted(word), ""}, Fault::usage);
}

/// `--store auto,resid_pre=int8,blocks.0.*=f32`: a type for all, and for points, of which the last that names one counts.
void choose_store(const ModelSpec& spec, std::span<const std::string> words, RecorderOptions& result) {
  const std::map<std::string, StoreType> types{{"auto", StoreType::automatic}, {"f32", StoreType::f32}, {"f16", StoreType::f16},
                                               {"bf16", StoreType::bf16}, {"int8", StoreType::int8}};
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    const StoreType type = choice<StoreType>("--store", equals == std::string::npos ? word : word.substr(equals + 1), types);
    if (equals == std::string::npos) {
      result.store = type;
      continue;
    }
    const std::string name = word.substr(0, equals);
    for (const ProbePoint& point : select_points(spec, {&name, 1})) result.store_of[point] = type;
  }
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  while (!words.empty() && words.back() == '\0') words.pop_back();
  for (char& c : words) c = c == '\0' ? ' ' : c;
  return words;
}

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

RecorderOptions recorder_options(const Session& session, const Options& options, std::span<const InputText> inputs, const Sequences& sequences) {
  RecorderOptions result;
  result.path = options.output;
  result.attention = choice<AttentionStorage>("--attention", options.attention,
                                              {{"factors", AttentionStorage::factors}, {"dense", AttentionStorage::dense},
                                               {"none", AttentionStorage::none}});
  choose_store(session.model().spec, options.store, result);
  result.compression = choice<Compression>("--compress", options.compress, {{"none", Compression::none}, {"gzip", Compression::gzip}});
  result.points = select_points(session.model().spec, options.points);
  for (const ProbePoint& point : all_points(session.model().spec)) {
    const bool map = point.site == Site::pattern && point.stream == Stream::content;
    if (map && result.attention == AttentionStorage::dense) result.points.push_back(point);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    result.longest_sequence = std::max({result.longest_sequence, inputs[i].tokens.size(), sequences[i].size()});
    result.expected_rows += sequences[i].size();
  }
  result.kv_format = session.kv_format();
  result.provenance = session.signature();
  result.provenance.set("command_line", command_line()).set("bos", inputs.front().bos_rule);
  result.provenance.set("model_sha256", checkpoint_sha256(*session.model().checkpoint));
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
  json.set("file", options.output).set("rows", static_cast<std::uint64_t>(summary.rows)).set("bytes", bytes_of(summary.datasets));
  json.set("file_bytes", static_cast<std::uint64_t>(std::filesystem::file_size(options.output, ignored)));
  json.set("commits", static_cast<std::uint64_t>(summary.commits));
  json.set("seconds", seconds).set("seconds_recording", summary.seconds);
  return json.set("datasets", described(summary.datasets));
}

/// Tokens of which no text is known.
std::vector<Token> plain_tokens(std::span<const TokenId> ids) {
  std::vector<Token> tokens;
  for (const TokenId id : ids) tokens.push_back({id, 0, 0});
  return tokens;
}

/// Every text is a sequence of the one recording, an empty one too.
void record(Session& session, Recorder& recorder, std::span<const InputText> inputs, const Sequences& sequences) {
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

/// What the run would write; nothing is run.
void print_plan(const Session& session, const Options& options, const Recorder::Plan& plan) {
  Json json;
  json.set("plan", true).set("bytes", bytes_of(plan.datasets)).set("file_bytes", static_cast<std::uint64_t>(plan.file_bytes));
  json.set("datasets", described(plan.datasets));
  if (options.common.json) {
    std::puts(json.set("signature", session.signature()).dump(2).c_str());
    return;
  }
  print_csv(json["datasets"]);
  if (options.common.csv) return;
  std::printf("%zu datasets, %.1f MB in the file%s; nothing was run\n", plan.datasets.size(), static_cast<double>(plan.file_bytes) / 1e6,
              options.compress == "none" ? "" : " before it is compressed");
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
  if (options.output.empty() && !options.plan) throw Error({"-o", "a file for the recording", "none", "or --plan, which writes nothing"}, Fault::usage);
  Session session(options.common);
  const std::vector<InputText> inputs = session.read_all(options.text);
  require_context(session.model(), inputs);
  const auto has_tokens = [](const InputText& input) { return !input.tokens.empty(); };
  if (std::none_of(inputs.begin(), inputs.end(), has_tokens)) throw Error({"input", "at least one token", "none", ""}, Fault::usage);
  const Sequences sequences = sequences_of(session, options, inputs);
  const RecorderSource source{session.model(), session.kernel(), session.ops()};
  RecorderOptions settings = recorder_options(session, options, inputs, sequences);
  if (options.plan) return print_plan(session, options, Recorder::plan(source, std::move(settings), sizes_of(session, inputs, sequences)));
  const auto recorder = Recorder::create(source, std::move(settings));
  const auto start = std::chrono::steady_clock::now();
  try {
    record(session, *recorder, inputs, sequences);
  } catch (const Cancelled&) {
    std::fprintf(stderr, "vitrine: %s is unfinished; it holds the rows that were committed\n", options.output.c_str());
    throw;
  }
  recorder->finish();
  const double seconds = seconds_since(start);
  Json json = result_of(*recorder, options, seconds);
  if (options.common.csv) return print_csv(json["datasets"]);
  if (options.text.many()) json.set("sequences", rows_of(inputs));
  if (options.common.json) {
    std::puts(json.dump(2).c_str());
    return;
  }
  std::printf("%s: %zu text%s, %s tokens, %zu datasets, %.1f MB in %.2f s, of which %.2f s recording\n", options.output.c_str(), inputs.size(),
              inputs.size() == 1 ? "" : "s", json["rows"].dump().c_str(), json["datasets"].items().size(), json["file_bytes"].number() / 1e6,
              seconds, json["seconds_recording"].number());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_texts(app, options->text);
  declare_pair(app, options->text);
  declare_decoder_ids(app, options->text);
  app.add_option("-o,--output", options->output, "the recording (HDF5)");
  app.add_option("--points", options->points, "hook names (with *), short names, default, all")->delimiter(',')->allow_extra_args(false);
  app.add_option("--attention", options->attention, "factors (default: any tile is rebuilt from them), dense (whole maps beside them) or none");
  app.add_option("--store", options->store,
                 "auto (each point in the type that computed it), f32, f16, bf16 or int8, for all and for points: auto,resid_pre=int8,z=bf16")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--compress", options->compress, "none (default: quicker) or gzip (smaller; any HDF5 library reads it)");
  app.add_flag("--plan", options->plan, "print what would be stored and how large the file would be; run nothing");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_record() {
  static const Command command{"record", "run a text and record activations and attention into an HDF5 file",
                               "vitrine record model.gguf --text 'The cat sat on the mat.' -o run.h5", declare};
  return command;
}

}  // namespace vitrine
