#include "probes/recorder.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "experiments/command.h"
#include "experiments/output.h"
#include "experiments/scrubbing.h"
#include "experiments/secrets.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::string output, attention = "factors", store = "auto", compress = "none";
  std::vector<std::string> points{"default"}, readers;
  std::string scrub, scrub_rules;
  bool encrypt = false;
  KeyOptions key;
};

template <typename Value>
Value choice(const std::string& flag, const std::string& word, const std::map<std::string, Value>& known) {
  const auto found = known.find(word);
  if (found != known.end()) return found->second;
  std::string expected;
  for (const auto& [name, value] : known) expected += (expected.empty() ? "" : ", ") + name;
  throw Error({flag, expected, quoted(word), ""}, Fault::usage);
}

/// @param hidden  an argument that must not be told
std::string command_line(const std::optional<std::string>& hidden) {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words;
  for (std::string word; std::getline(file, word, '\0');) {
    if (hidden && !hidden->empty() && word.ends_with(*hidden)) word.replace(word.size() - hidden->size(), hidden->size(), "<scrubbed>");
    words += (words.empty() ? "" : " ") + word;
  }
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

/// Who may read a protected recording. @throws Error (usage) where flags do not go together
std::vector<Reader> readers_of(const Options& options) {
  if (!options.encrypt && (!options.key.key_file.empty() || !options.readers.empty())) {
    throw Error({options.readers.empty() ? "--key-file" : "--reader", "--encrypt beside it", "none", ""}, Fault::usage);
  }
  std::vector<Reader> readers;
  for (const std::string& words : options.readers) readers.push_back(reader_of(words));
  if (options.encrypt) readers.insert(readers.begin(), {ReaderRole::everything, new_secret_of(options.key, options.output)});
  return readers;
}

RecorderOptions recorder_options(const Session& session, const Options& options, std::span<const InputText> inputs, const Sequences& sequences) {
  RecorderOptions result;
  result.path = options.output;
  result.attention = choice<AttentionStorage>("--attention", options.attention,
                                              {{"factors", AttentionStorage::factors}, {"dense", AttentionStorage::dense},
                                               {"none", AttentionStorage::none}});
  result.store = choice<StoreType>("--store", options.store,
                                   {{"auto", StoreType::automatic}, {"f32", StoreType::f32}, {"f16", StoreType::f16},
                                    {"bf16", StoreType::bf16}});
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
  result.provenance.set("command_line", command_line(options.scrub.empty() ? std::nullopt : options.text.text)).set("bos", inputs.front().bos_rule);
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

Json result_of(const Recorder& recorder, const Options& options, double seconds) {
  const Recorder::Summary summary = recorder.summary();
  Json datasets = Json::array();
  std::size_t bytes = 0;
  for (const Recorder::Dataset& dataset : summary.datasets) {
    Json shape = Json::array();
    shape.push(static_cast<std::uint64_t>(dataset.rows));
    for (const std::size_t extent : {dataset.heads, dataset.width}) {
      if (extent > 0) shape.push(static_cast<std::uint64_t>(extent));
    }
    Json row;
    row.set("name", dataset.name).set("type", dataset.type).set("shape", shape);
    datasets.push(row.set("bytes", static_cast<std::uint64_t>(dataset.bytes)));
    bytes += dataset.bytes;
  }
  std::error_code ignored;
  Json json;
  json.set("file", options.output).set("rows", static_cast<std::uint64_t>(summary.rows));
  json.set("bytes", static_cast<std::uint64_t>(bytes));
  json.set("file_bytes", static_cast<std::uint64_t>(std::filesystem::file_size(options.output, ignored)));
  json.set("commits", static_cast<std::uint64_t>(summary.commits));
  json.set("seconds", seconds).set("seconds_recording", summary.seconds);
  return json.set("datasets", datasets);
}

/// Tokens of which no text is known.
std::vector<Token> plain_tokens(std::span<const TokenId> ids) {
  std::vector<Token> tokens;
  for (const TokenId id : ids) tokens.push_back({id, 0, 0});
  return tokens;
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

void run(const Options& options) {
  require_one_source(options.text);
  std::vector<Reader> readers = readers_of(options);
  Session session(options.common);
  std::vector<InputText> inputs = session.read_all(options.text);
  const Scrubbing scrubbing = scrub(options.scrub, options.scrub_rules, session, options.text, inputs);
  require_context(session.model(), inputs);
  const auto has_tokens = [](const InputText& input) { return !input.tokens.empty(); };
  if (std::none_of(inputs.begin(), inputs.end(), has_tokens)) throw Error({"input", "at least one token", "none", ""}, Fault::usage);
  const Sequences sequences = sequences_of(session, options, inputs);
  RecorderOptions how = recorder_options(session, options, inputs, sequences);
  how.readers = std::move(readers);
  how.scrub_labels = scrubbing.labels;
  if (scrubbing.on()) how.provenance.set("scrub", scrubbing.to_json());
  const auto recorder = Recorder::create({session.model(), session.kernel(), session.ops()}, std::move(how));
  const auto start = std::chrono::steady_clock::now();
  try {
    record(session, *recorder, scrubbing, inputs, sequences);
  } catch (const Cancelled&) {
    std::fprintf(stderr, "vitrine: %s is unfinished; it holds the rows that were committed\n", options.output.c_str());
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
  app.add_option("-o,--output", options->output, "the recording (HDF5)")->required();
  app.add_option("--points", options->points, "hook names (with *), short names, default, all")->delimiter(',')->allow_extra_args(false);
  app.add_option("--attention", options->attention, "factors (default: any tile is rebuilt from them), dense (whole maps beside them) or none");
  app.add_option("--store", options->store, "auto (each point in the type that computed it), f32, f16, bf16");
  app.add_option("--compress", options->compress, "none (default: quicker) or gzip (smaller; any HDF5 library reads it)");
  declare_scrub(app, options->scrub, options->scrub_rules);
  app.add_flag("--encrypt", options->encrypt, "protect the recording: only who has a key, or the passphrase that is asked for, reads it");
  declare_key_file(app, options->key);
  app.add_option("--reader", options->readers, "of a protected recording, one more: ROLE=KEYFILE, ROLE is summaries, text or everything")->allow_extra_args(false);
  return [options] { run(*options); };
}

}  // namespace

const Command& command_record() {
  static const Command command{"record", "run a text and record activations and attention into an HDF5 file",
                               "vitrine record model.gguf --text 'The cat sat on the mat.' -o run.h5", declare};
  return command;
}

}  // namespace vitrine
