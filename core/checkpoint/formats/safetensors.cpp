#include <algorithm>
#include <cstring>
#include <map>

#include "core/base/error.h"
#include "core/checkpoint/tensor_table.h"
#include "core/checkpoint/weight_files.h"

// safetensors: eight bytes of header length, a JSON header, then the bytes (huggingface/safetensors, README).

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t max_header = 100'000'000;  // the format's own limit

DType tensor_type(const std::string& where, const std::string& word) {
  static const std::map<std::string, DType> types{{"F32", DType::f32}, {"F16", DType::f16}, {"BF16", DType::bf16},
                                                  {"F64", DType::f64}, {"I8", DType::i8},   {"U8", DType::i8},
                                                  {"BOOL", DType::i8}, {"I16", DType::i16}, {"I32", DType::i32},  {"I64", DType::i64}};
  const auto found = types.find(word);
  if (found == types.end()) throw Error({where + ": dtype", "F32, F16, BF16, F64, I8, U8, BOOL, I16, I32 or I64", quoted(word), ""});
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
  if (const std::string& word = entry["dtype"].string(); word != dtype_info(tensor.type).name) tensor.word = word;
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

constexpr WeightFiles files{"safetensors", "model.safetensors", read_file};

bool recognises(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) ? has_weight_files(path, files.file) : path.extension() == ".safetensors";
}

Checkpoint open(const fs::path& path) { return open_weight_files(files, path); }

}  // namespace

const CheckpointFormat& checkpoint_format_safetensors() {
  static const CheckpointFormat format{"safetensors", "safetensors: one file, a folder, or shards with an index", recognises, open};
  return format;
}

}  // namespace vitrine
