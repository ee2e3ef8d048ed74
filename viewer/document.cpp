#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "viewer/panel.h"

namespace vitrine {

Document open_document(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const int first = file.get();
  if (!file.is_open() || !file) {
    throw Error({path.string(), "a recording or a study.json", file.is_open() ? "an empty file" : "no such file", ""});
  }
  Document document{.path = path, .recording = nullptr, .study = {}, .estimates = {}};
  if (is_hdf5_file(path)) {
    document.recording = Recording::open(path);
    return document;
  }
  if (first != '{') throw Error({path.string(), "a recording (HDF5) or a study.json", "another kind of file", ""});
  file.clear();
  file.seekg(0);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  document.study = parse_json(text, path.string());
  if (!document.study["estimates"].is_array()) {
    throw Error({path.string(), "a study with estimates", "other JSON", "see `vitrine study`"});
  }
  for (const Json& each : document.study["estimates"].items()) {
    const std::string place = path.string() + ": estimate " + std::to_string(document.estimates.size() + 1);
    document.estimates.push_back(estimate_from_json(each, each["name"].is_string() ? place + " " + quoted(each["name"].string()) : place));
  }
  return document;
}

}  // namespace vitrine
