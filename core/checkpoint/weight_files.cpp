#include "core/checkpoint/weight_files.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t largest_json = 100'000'000;

Json read_json(const fs::path& path) {
  const MappedFile file(path);
  if (file.bytes().size() > largest_json) throw Error({path.string(), "at most 100 MB of JSON", std::to_string(file.bytes().size()) + " bytes", ""});
  return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
}

fs::path index_of(const fs::path& folder, std::string_view file) { return folder / (std::string(file) + ".index.json"); }

struct Shards {
  std::vector<fs::path> files;
  std::map<std::string, std::string> file_of;  // of each tensor that the index names
};

Shards shards_of(const fs::path& folder, std::string_view whole) {
  const fs::path index = index_of(folder, whole);
  std::error_code ignored;
  if (!fs::exists(index, ignored)) return {{folder / whole}, {}};
  const Json map = read_json(index)["weight_map"];
  if (!map.is_object()) throw Error({index.string() + ": weight_map", "a JSON object", "something else", ""});
  Shards found;
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.members()) {
    const bool plain = file.is_string() && !file.string().empty() && file.string().find('/') == std::string::npos;
    if (!plain) throw Error({index.string() + ": " + quoted(tensor), "a file name without folders", quoted(file.dump()), ""});
    names.insert(file.string());
    found.file_of[tensor] = file.string();
  }
  for (const std::string& name : names) {
    found.files.push_back(folder / name);
    if (fs::exists(found.files.back(), ignored)) continue;
    throw Error({folder.string(), "the shard " + quoted(name) + ", one of " + std::to_string(names.size()) + " that " + index.filename().string() + " names",
                 "no such file", "fetch the model again"});
  }
  return found;
}

void refuse_equal_names(const fs::path& path, const std::vector<NamedTensor>& sorted) {
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != sorted.end()) throw Error({path.string() + ": tensor " + quoted(twice->name), "one of this name", "two", ""});
}

}  // namespace

bool has_weight_files(const fs::path& folder, std::string_view file) {
  std::error_code ignored;
  return fs::exists(folder / file, ignored) || fs::exists(index_of(folder, file), ignored);
}

Checkpoint open_weight_files(const WeightFiles& files, const fs::path& path) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  Checkpoint checkpoint{.format = std::string(files.format), .path = path, .metadata = Json::object(), .tensors = {}, .files = {}};
  Shards found = folder ? shards_of(path, files.file) : Shards{{path}, {}};
  checkpoint.files = found.files;
  for (const fs::path& file : checkpoint.files) {
    for (NamedTensor& tensor : files.read(file)) {
      const auto said = found.file_of.find(tensor.name);
      if (said != found.file_of.end() && said->second == file.filename().string()) found.file_of.erase(said);
      checkpoint.tensors.push_back(std::move(tensor));
    }
  }
  if (!found.file_of.empty()) {
    const auto& [tensor, file] = *found.file_of.begin();
    throw Error({path.string() + ": tensor " + quoted(tensor), "to be in " + quoted(file) + ", as the index says", "another place or none", "fetch the model again"});
  }
  std::sort(checkpoint.tensors.begin(), checkpoint.tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  refuse_equal_names(path, checkpoint.tensors);
  const fs::path config = (folder ? path : path.parent_path()) / "config.json";
  if (fs::exists(config, ignored)) checkpoint.metadata = read_json(config);
  return checkpoint;
}

}  // namespace vitrine
