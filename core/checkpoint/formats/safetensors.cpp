#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/checkpoint/tensor_table.h"

// safetensors: eight bytes of header length, a JSON header, then the bytes (huggingface/safetensors, README).

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t max_header = 100'000'000;  // the format's own limit

DType tensor_type(const std::string& where, const std::string& word) {
  static const std::map<std::string, DType> types{{"F32", DType::f32}, {"F16", DType::f16}, {"BF16", DType::bf16},
                                                  {"I8", DType::i8},   {"U8", DType::i8},   {"BOOL", DType::i8},
                                                  {"I32", DType::i32}, {"I64", DType::i64}};
  const auto found = types.find(word);
  if (found == types.end()) throw Error({where + ": dtype", "F32, F16, BF16, I8, U8, BOOL, I32 or I64", quoted(word), ""});
  return found->second;
}

std::uint64_t natural(const std::string& where, const Json& value) {
  if (!value.is_integer() || value.integer() < 0) throw Error({where, "a whole number from 0", quoted(value.dump()), ""});
  return static_cast<std::uint64_t>(value.integer());
}

DeclaredTensor declare(const std::string& where, const std::string& name, const Json& entry) {
  const std::string place = where + ": tensor " + quoted(name);
  if (!entry["dtype"].is_string() || !entry["shape"].is_array() || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].items().size() != 2) {
    throw Error({place, "dtype, shape and two data_offsets", "something else", ""});
  }
  DeclaredTensor tensor{name, tensor_type(place, entry["dtype"].string()), {}, natural(place, entry["data_offsets"].items()[0])};
  if (entry["shape"].items().size() > 8) throw Error({place, "at most 8 axes", "more", ""});
  std::uint64_t bytes = dtype_info(tensor.type).block_bytes;
  for (const Json& extent : entry["shape"].items()) {
    tensor.shape.push_back(natural(place + " shape", extent));
    if (__builtin_mul_overflow(bytes, tensor.shape.back(), &bytes)) throw Error({place, "a possible shape", "an overflow", ""});
  }
  const std::uint64_t end = natural(place, entry["data_offsets"].items()[1]);
  if (end < tensor.begin || end - tensor.begin != bytes) {
    throw Error({place + " data_offsets", std::to_string(bytes) + " bytes", "another size", ""});
  }
  return tensor;
}

std::vector<NamedTensor> read_file(const fs::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const std::string where = path.string();
  std::uint64_t length = 0;
  if (file->bytes().size() < sizeof length) throw Error({where, "a header length of 8 bytes", "a shorter file", ""});
  std::memcpy(&length, file->bytes().data(), sizeof length);
  if (length > max_header || length > file->bytes().size() - sizeof length) {
    throw Error({where + ": header length", "at most the file's size", std::to_string(length), "the file is cut short or no safetensors"});
  }
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()) + sizeof length, length);
  const Json header = parse_json(text, where + ": header");
  if (!header.is_object()) throw Error({where + ": header", "a JSON object", "something else", ""});
  std::vector<DeclaredTensor> declared;
  for (const auto& [name, entry] : header.members()) {
    if (name != "__metadata__") declared.push_back(declare(where, name, entry));
  }
  // The format allows tensors without elements; nothing can be read from one.
  std::erase_if(declared, [](const DeclaredTensor& tensor) { return std::find(tensor.shape.begin(), tensor.shape.end(), 0u) != tensor.shape.end(); });
  return tensor_table(where, declared, file, sizeof length + length, 1);
}

Json read_json(const fs::path& path) {
  const MappedFile file(path);
  if (file.bytes().size() > max_header) throw Error({path.string(), "at most 100 MB of JSON", std::to_string(file.bytes().size()) + " bytes", ""});
  return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
}

struct Shards {
  std::vector<fs::path> files;
  std::map<std::string, std::string> file_of;  // of each tensor that the index names
};

Shards shards(const fs::path& folder) {
  const fs::path index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (!fs::exists(index, ignored)) return {{folder / "model.safetensors"}, {}};
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
  for (const std::string& name : names) found.files.push_back(folder / name);
  return found;
}

bool recognises(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    return fs::exists(path / "model.safetensors", ignored) || fs::exists(path / "model.safetensors.index.json", ignored);
  }
  return path.extension() == ".safetensors";
}

Checkpoint open(const fs::path& path) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  Checkpoint checkpoint{.format = "safetensors", .path = path, .metadata = Json::object(), .tensors = {}, .files = {}};
  Shards found = folder ? shards(path) : Shards{{path}, {}};
  checkpoint.files = found.files;
  for (const fs::path& file : checkpoint.files) {
    for (NamedTensor& tensor : read_file(file)) {
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
  for (std::size_t i = 1; i < checkpoint.tensors.size(); ++i) {
    if (checkpoint.tensors[i].name == checkpoint.tensors[i - 1].name) {
      throw Error({path.string() + ": tensor " + quoted(checkpoint.tensors[i].name), "one of this name", "two", ""});
    }
  }
  const fs::path config = (folder ? path : path.parent_path()) / "config.json";
  if (fs::exists(config, ignored)) checkpoint.metadata = read_json(config);
  return checkpoint;
}

}  // namespace

const CheckpointFormat& checkpoint_format_safetensors() {
  static const CheckpointFormat format{"safetensors", "safetensors: one file, a folder, or shards with an index", recognises, open};
  return format;
}

}  // namespace vitrine
