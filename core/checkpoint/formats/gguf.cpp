#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/checkpoint/cursor.h"
#include "core/checkpoint/tensor_table.h"
#include "core/checkpoint/weight_files.h"

// GGUF versions 2 and 3, little-endian, as ggml's docs/gguf.md describes them.

namespace vitrine {
namespace {

constexpr std::uint64_t max_string = 1u << 26, max_name = 1u << 16, max_nesting = 4;
// A value takes some 40 bytes in memory: real files have fewer than 2 million entries in all their arrays together.
constexpr std::uint64_t max_entries = 6'000'000;

class GgufCursor : public Cursor {
 public:
  using Cursor::Cursor;

  std::string string(std::string_view field, std::uint64_t limit) {
    const auto length = number<std::uint64_t>(field);
    if (length > limit) fail(field, "a text of at most " + std::to_string(limit) + " bytes", std::to_string(length));
    return text(length, field);
  }

  /// Counts entries of arrays: small numbers in the file are large values in memory.
  void claim_entries(std::uint64_t count, std::string_view field) {
    if (count > max_entries - entries_) fail(field, "at most " + std::to_string(max_entries) + " entries in all arrays", std::to_string(count) + " more");
    entries_ += count;
  }

 private:
  std::uint64_t entries_ = 0;
};

enum ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

Json read_value(GgufCursor& in, std::uint32_t type, const std::string& key, std::uint64_t depth);

Json read_array(GgufCursor& in, const std::string& key, std::uint64_t depth) {
  const auto type = in.number<std::uint32_t>(key);
  const auto count = in.number<std::uint64_t>(key);
  const std::uint64_t least = type == text ? 8 : type == array ? 12 : type == u64 || type == i64 || type == f64 ? 8
                              : type == u32 || type == i32 || type == f32 ? 4 : type == u16 || type == i16 ? 2 : 1;
  if (depth >= max_nesting) in.fail(key, "arrays at most 4 deep", "deeper ones");
  if (count > in.left() / least) in.fail(key, "an array that fits into the file", std::to_string(count) + " entries");
  in.claim_entries(count, key);
  Json::Array items;
  items.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) items.push_back(read_value(in, type, key, depth + 1));
  return items;
}

Json read_value(GgufCursor& in, std::uint32_t type, const std::string& key, std::uint64_t depth) {
  switch (type) {
    case u8: return std::int64_t{in.number<std::uint8_t>(key)};
    case i8: return std::int64_t{in.number<std::int8_t>(key)};
    case u16: return std::int64_t{in.number<std::uint16_t>(key)};
    case i16: return std::int64_t{in.number<std::int16_t>(key)};
    case u32: return std::int64_t{in.number<std::uint32_t>(key)};
    case i32: return std::int64_t{in.number<std::int32_t>(key)};
    case f32: return static_cast<double>(in.number<float>(key));
    case boolean: return in.number<std::uint8_t>(key) != 0;
    case text: return in.string(key, max_string);
    case array: return read_array(in, key, depth);
    case u64: {
      const auto value = in.number<std::uint64_t>(key);
      return value <= static_cast<std::uint64_t>(INT64_MAX) ? Json(value) : Json(static_cast<double>(value));
    }
    case i64: return in.number<std::int64_t>(key);
    case f64: return in.number<double>(key);
    default: in.fail(key, "a value type from 0 to 12", std::to_string(type));
  }
}

/// ggml's names of types that are not read, for the refusal.
std::string unread_type(std::uint32_t code) {
  static const std::map<std::uint32_t, const char*> names{{9, "Q8_1"},     {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},
                                                          {22, "IQ2_S"}, {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {39, "MXFP4"}};
  const auto found = names.find(code);
  return (found == names.end() ? "" : found->second + std::string(", ")) + "ggml type " + std::to_string(code);
}

DType tensor_type(const GgufCursor& in, std::uint32_t code, const std::string& name) {
  switch (code) {
    case 0: return DType::f32;
    case 1: return DType::f16;
    case 2: return DType::q4_0;
    case 3: return DType::q4_1;
    case 6: return DType::q5_0;
    case 7: return DType::q5_1;
    case 8: return DType::q8_0;
    case 10: return DType::q2_k;
    case 11: return DType::q3_k;
    case 12: return DType::q4_k;
    case 13: return DType::q5_k;
    case 14: return DType::q6_k;
    case 20: return DType::iq4_nl;
    case 23: return DType::iq4_xs;
    case 24: return DType::i8;
    case 25: return DType::i16;
    case 26: return DType::i32;
    case 27: return DType::i64;
    case 28: return DType::f64;
    case 30: return DType::bf16;
    default:
      in.fail("tensor " + quoted(name), "a type out of F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, I8, I16, I32, I64",
              unread_type(code));
  }
}

DeclaredTensor read_tensor(GgufCursor& in) {
  DeclaredTensor tensor;
  tensor.name = in.string("a tensor's name", max_name);
  const std::string field = "tensor " + quoted(tensor.name);
  const auto rank = in.number<std::uint32_t>(field);
  if (rank == 0 || rank > 4) in.fail(field, "1 to 4 axes", std::to_string(rank));
  for (std::uint32_t axis = 0; axis < rank; ++axis) tensor.shape.push_back(in.number<std::uint64_t>(field));
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  tensor.type = tensor_type(in, in.number<std::uint32_t>(field), tensor.name);
  tensor.begin = in.number<std::uint64_t>(field);
  return tensor;
}

Json read_metadata(GgufCursor& in, std::uint64_t count) {
  Json::Object members;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key = in.string("a metadata key", max_name);
    if (!names.insert(key).second) in.fail("metadata key " + quoted(key), "one of this name", "two");
    const std::string field = "metadata key " + quoted(key);  // a stranger's text: never printed as it is
    const auto type = in.number<std::uint32_t>(field);
    Json value = read_value(in, type, field, 0);
    members.emplace_back(std::move(key), std::move(value));
  }
  return members;
}

bool begins_as_gguf(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::memcmp(magic, "GGUF", 4) == 0;
}

/// The only GGUF file of a folder without weights of another kind, as a snapshot of the Hugging Face cache may be; else nothing.
std::filesystem::path only_file(const std::filesystem::path& folder) {
  std::filesystem::path found;
  std::error_code ignored;
  if (has_weight_files(folder, "model.safetensors") || has_weight_files(folder, "pytorch_model.bin")) return {};
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".gguf") continue;
    if (!found.empty()) return {};
    found = entry.path();
  }
  return found;
}

bool recognises(const std::filesystem::path& path) {
  std::error_code ignored;
  return begins_as_gguf(std::filesystem::is_directory(path, ignored) ? only_file(path) : path);
}

Checkpoint open(const std::filesystem::path& named) {
  const std::filesystem::path path = std::filesystem::is_directory(named) ? only_file(named) : named;
  const auto file = std::make_shared<const MappedFile>(path);
  GgufCursor in(path.string(), file->bytes());
  if (in.number<std::uint32_t>("magic") != 0x46554747u) in.fail("magic", "GGUF", "something else");
  const auto version = in.number<std::uint32_t>("version");
  if (version != 2 && version != 3) in.fail("version", "2 or 3", std::to_string(version));
  const auto tensors = in.number<std::uint64_t>("tensor count"), pairs = in.number<std::uint64_t>("metadata count");
  if (tensors > in.left() / 24) in.fail("tensor count", "as many as fit into the file", std::to_string(tensors));
  if (pairs > in.left() / 13) in.fail("metadata count", "as many as fit into the file", std::to_string(pairs));
  Checkpoint checkpoint{.format = "gguf", .path = path, .metadata = read_metadata(in, pairs), .tensors = {}, .files = {path}};
  std::uint64_t alignment = 32;
  if (const Json& said = checkpoint.metadata["general.alignment"]; !said.is_null()) {
    const std::int64_t value = said.is_integer() ? said.integer() : 0;
    if (value < 8 || value > 65536 || (value & (value - 1)) != 0) {
      in.fail("general.alignment", "a power of two from 8 to 65536", said.dump());
    }
    alignment = static_cast<std::uint64_t>(value);
  }
  std::vector<DeclaredTensor> declared;
  for (std::uint64_t i = 0; i < tensors; ++i) declared.push_back(read_tensor(in));
  const std::uint64_t data_begin = (in.at() + alignment - 1) / alignment * alignment;
  checkpoint.tensors = tensor_table(path.string(), declared, file, data_begin, alignment);
  return checkpoint;
}

}  // namespace

const CheckpointFormat& checkpoint_format_gguf() {
  static const CheckpointFormat format{"gguf", "GGUF versions 2 and 3, one file", recognises, open};
  return format;
}

}  // namespace vitrine
