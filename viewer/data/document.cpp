#include "viewer/data/document.h"

#include <array>
#include <fstream>
#include <iterator>
#include <optional>

#include "core/base/error.h"
#include "viewer/data/shared_recording.h"

namespace vitrine {
namespace {

constexpr std::uintmax_t largest_json = 256u << 20;

struct KindOfJson {
  DocumentKind kind;
  bool (*matches)(const Json& json);
};

constexpr std::array json_kinds{
    KindOfJson{DocumentKind::study, [](const Json& json) { return json["study"].is_string() && json["estimates"].is_array(); }},
    KindOfJson{DocumentKind::patching, [](const Json& json) { return json["effect"].is_array() && json["sweep"].is_string(); }},
    KindOfJson{DocumentKind::attribution, [](const Json& json) { return json["method"].is_string() && json["target"].is_object() && json["tokens"].is_array(); }},
    KindOfJson{DocumentKind::benchmark, [](const Json& json) { return json["benchmarks"].is_array() && json["context"].is_object(); }},
    KindOfJson{DocumentKind::benchmark, [](const Json& json) { return json["results"].is_array() && json["context"].is_object(); }},  // beside peers
    KindOfJson{DocumentKind::analysis, [](const Json& json) { return json["tables"].is_array() || json["grids"].is_array(); }},
};

std::optional<DocumentKind> kind_of(const Json& json) {
  for (const KindOfJson& each : json_kinds) {
    if (each.matches(json)) return each.kind;
  }
  return std::nullopt;
}

void read_estimates(Document& document) {
  if (!document.json["estimates"].is_array()) return;
  for (const Json& each : document.json["estimates"].items()) {
    const std::string place = document.path.string() + ": estimate " + std::to_string(document.estimates.size() + 1);
    document.estimates.push_back(estimate_from_json(each, each["name"].is_string() ? place + " " + quoted(each["name"].string()) : place));
  }
}

void read_json(Document& document) {
  if (document.bytes > largest_json) throw Error({document.path.string(), "JSON of at most 256 MB", std::to_string(document.bytes >> 20) + " MB", ""});
  std::ifstream file(document.path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  document.json = parse_json(text, document.path.string());
  const std::optional<DocumentKind> kind = kind_of(document.json);
  if (!kind) {
    throw Error({document.path.string(), "JSON of vitrine study, patch, analyse, attribute or bench", "other JSON", "those commands write it with --json or -o"});
  }
  document.kind = *kind;
  read_estimates(document);
}

}  // namespace

std::string_view document_kind_name(DocumentKind kind) {
  switch (kind) {
    case DocumentKind::recording: return "recording";
    case DocumentKind::study: return "study";
    case DocumentKind::patching: return "patching";
    case DocumentKind::analysis: return "analysis";
    case DocumentKind::attribution: return "attribution";
    case DocumentKind::benchmark: return "benchmark";
  }
  return "";
}

DocumentPointer open_document(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path file_path = folder ? path / "study.json" : path;  // the folder of a study stands for it
  if (std::filesystem::exists(file_path, ignored) && !std::filesystem::is_regular_file(file_path, ignored)) {
    throw Error({file_path.string(), "a file", "a pipe, a device or something else that is none", ""});
  }
  std::ifstream file(file_path, std::ios::binary);
  const int first = file.get();
  if (!file.is_open() || !file) {
    throw Error({path.string(), "a recording or a study", file.is_open() ? "an empty file" : folder ? "a folder without study.json" : "no such file", ""});
  }
  auto document = std::make_shared<Document>();
  document->path = file_path;
  document->written = std::filesystem::last_write_time(file_path, ignored);
  document->bytes = std::filesystem::file_size(file_path, ignored);
  if (is_hdf5_file(file_path)) {
    document->recording = open_shared(file_path);
  } else if (first == '{') {
    read_json(*document);
  } else {
    throw Error({path.string(), "a recording (HDF5) or JSON of a study", "another kind of file", ""});
  }
  return document;
}

}  // namespace vitrine
