#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/checkpoint/gguf_values.h"
#include "core/checkpoint/tensor_table.h"
#include "core/checkpoint/weight_files.h"

// GGUF versions 2 and 3, little-endian, as ggml's docs/gguf.md describes them.

namespace vitrine {
namespace {

constexpr std::uint64_t max_name = 1u << 16;

/// ggml's names of types that are not read, for the refusal.
std::string unread_type(std::uint32_t code) {
  static const std::map<std::uint32_t, const char*> names{{9, "Q8_1"}, {15, "Q8_K"}, {40, "NVFP4"}, {41, "Q1_0"}};
  const auto found = names.find(code);
  return (found == names.end() ? "" : found->second + std::string(", ")) + "ggml type " + std::to_string(code);
}

DType tensor_type(const GgufCursor& in, std::uint32_t code, const std::string& name) {
  if (const auto type = dtype_of_ggml(code)) return *type;
  in.fail("tensor " + quoted(name), "a type out of F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ1_S to IQ4_XS, TQ1_0, TQ2_0, MXFP4, I8, I16, I32, I64",
          unread_type(code));
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

Json read_metadata(GgufCursor& in, std::uint64_t count, std::vector<MetadataBytes>& raw, std::span<const std::byte> file) {
  Json::Object members;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key = in.string("a metadata key", max_name);
    if (!names.insert(key).second) in.fail("metadata key " + quoted(key), "one of this name", "two");
    const std::string field = "metadata key " + quoted(key);  // a stranger's text: never printed as it is
    const std::uint64_t begin = in.at();
    Json value = read_gguf_value(in, field);
    raw.push_back({key, file.subspan(begin, in.at() - begin)});
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
  Checkpoint checkpoint{.format = "gguf", .path = path, .metadata = {}, .tensors = {}, .files = {path}, .raw_metadata = {}, .storage = file};
  checkpoint.metadata = read_metadata(in, pairs, checkpoint.raw_metadata, file->bytes());
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
