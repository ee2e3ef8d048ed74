#include "experiments/recording_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <map>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// Whether a recording holds the point as numbers of its own: one of those asked for, or a factor of a map.
bool is_stored(const ProbePoint& point, const RecorderOptions& options) {
  const bool factor = options.attention != AttentionStorage::none && (point.site == Site::rot_q || point.site == Site::rot_k) && point.stream == Stream::content;
  return factor || std::ranges::find(options.points, point) != options.points.end();
}

/// `--store auto,resid_pre=int8,blocks.0.*=f32`: a type for all, and for points, of which the last that names one counts.
/// @param recorded  words of --points, for errors
void choose_store(const ModelSpec& spec, std::span<const std::string> words, std::span<const std::string> recorded, RecorderOptions& result) {
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
    std::vector<ProbePoint> points;
    try {
      points = select_points(spec, {&name, 1});
    } catch (const Error&) {  // which names another flag
      throw Error({"--store " + word, "a point of this model before '='", quoted(name), "see `vitrine list points`"}, Fault::usage);
    }
    if (std::ranges::none_of(points, [&](const ProbePoint& point) { return is_stored(point, result); })) {
      std::string list;
      for (const std::string& each : recorded) list += each + ", ";
      throw Error({"--store " + word, "a point that is recorded: of " + list + (result.attention == AttentionStorage::none ? "no factors" : "rot_q, rot_k"), quoted(name),
                   "add it to --points"}, Fault::usage);
    }
    for (const ProbePoint& point : points) result.store_of[point] = type;
  }
}

/// Maps are rebuilt from queries and keys, which know nothing of a map that was written.
void refuse_written_maps(const Session& session, AttentionStorage attention) {
  if (attention == AttentionStorage::none) return;
  const TapPlan plan = session.with_interventions({});
  for (const ProbePoint& point : all_points(session.model().spec)) {
    if (!is_square(point.site) || !plan.writes(point)) continue;
    throw Error({"--attention", "none where --intervene changes maps: factors would rebuild the map as it was", point_name(point) + " is changed",
                 "add --attention none, and --points pattern for the map itself"}, Fault::usage);
  }
}

/// @param untold  an argument to leave out; empty: none
std::string command_line(const std::string& untold) {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words;
  for (std::string word; std::getline(file, word, '\0');) {
    if (!untold.empty() && word.ends_with(untold)) word.replace(word.size() - untold.size(), untold.size(), "<scrubbed>");
    words += (words.empty() ? "" : " ") + word;
  }
  return words;
}

}  // namespace

std::vector<CLI::Option*> declare_recording(CLI::App& app, RecordingOptions& options) {
  return {app.add_option("--points", options.points, "hook names (with *), short names, default, all")->delimiter(',')->allow_extra_args(false),
          app.add_option("--attention", options.attention, "factors (default: any tile is rebuilt from them), dense (whole maps beside them) or none"),
          app.add_option("--store", options.store, "auto (each point in the type that computed it), f32, f16, bf16 or int8, for all and for points: auto,resid_pre=int8,z=bf16")
              ->delimiter(',')
              ->allow_extra_args(false),
          app.add_option("--compress", options.compress, "none (default: quicker) or gzip (smaller; any HDF5 library reads it)"),
          app.add_flag("--encrypt", options.encrypt, "protect the recording: only who has a key, or the passphrase that is asked for, reads it"),
          declare_key_file(app, options.key),
          app.add_option("--reader", options.readers, "of a protected recording, one more: ROLE=KEYFILE, ROLE is summaries, text or everything")->allow_extra_args(false)};
}

RecorderOptions recorder_options(const Session& session, const RecordingOptions& options, const std::string& bos_rule) {
  RecorderOptions result;
  result.path = options.output;
  result.attention = choice<AttentionStorage>("--attention", options.attention,
                                              {{"factors", AttentionStorage::factors}, {"dense", AttentionStorage::dense},
                                               {"none", AttentionStorage::none}});
  refuse_written_maps(session, result.attention);
  result.compression = choice<Compression>("--compress", options.compress, {{"none", Compression::none}, {"gzip", Compression::gzip}});
  result.points = select_points(session.model().spec, options.points);
  for (const ProbePoint& point : all_points(session.model().spec)) {
    const bool map = point.site == Site::pattern && point.stream == Stream::content;
    if (map && result.attention == AttentionStorage::dense) result.points.push_back(point);
  }
  choose_store(session.model().spec, options.store, options.points, result);
  result.kv_format = session.kv_format();
  result.provenance = session.signature();
  result.provenance.set("command_line", command_line(options.untold)).set("bos", bos_rule);
  result.provenance.set("model_sha256", checkpoint_sha256(*session.model().checkpoint));
  return result;
}

std::vector<Reader> readers_of(const RecordingOptions& options) {
  if (!options.encrypt && (!options.key.key_file.empty() || !options.readers.empty())) {
    throw Error({options.readers.empty() ? "--key-file" : "--reader", "--encrypt beside it", "none", ""}, Fault::usage);
  }
  std::vector<Reader> readers;
  if (options.encrypt) readers.push_back({ReaderRole::everything, new_secret_of(options.key, options.output)});
  for (const std::string& words : options.readers) readers.push_back(reader_of(words));
  return readers;
}

std::vector<Token> plain_tokens(std::span<const TokenId> ids) {
  std::vector<Token> tokens;
  for (const TokenId id : ids) tokens.push_back({id, 0, 0});
  return tokens;
}

}  // namespace vitrine
