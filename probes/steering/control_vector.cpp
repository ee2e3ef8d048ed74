#include "probes/steering/control_vector.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "core/checkpoint/checkpoint.h"

namespace vitrine {
namespace {

// GGUF 3 (ggml's docs/gguf.md), little-endian as the machines that this program runs on.
constexpr std::uint32_t gguf_version = 3, type_i32 = 5, type_string = 8, tensor_f32 = 0;
constexpr std::size_t alignment = 32;
constexpr std::string_view tensor_prefix = "direction.";

class GgufBytes {
 public:
  template <typename Number>
  void number(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view words) {
    number(std::uint64_t{words.size()});
    bytes_.append(words);
  }
  void pair(std::string_view key, std::string_view value) {
    text(key);
    number(type_string);
    text(value);
  }
  void pair(std::string_view key, std::int32_t value) {
    text(key);
    number(type_i32);
    number(value);
  }
  void floats(const std::vector<float>& values) { bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)); }
  void align() { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string encoded(const ControlVector& vector) {
  GgufBytes file;
  for (const char letter : {'G', 'G', 'U', 'F'}) file.number(letter);
  file.number(gguf_version);
  file.number(std::uint64_t{vector.directions.size()});
  file.number(std::uint64_t{3});
  file.pair("general.architecture", "controlvector");
  file.pair("controlvector.model_hint", vector.model_hint);
  file.pair("controlvector.layer_count", static_cast<std::int32_t>(vector.directions.size()));
  std::uint64_t offset = 0;
  for (const auto& [block, direction] : vector.directions) {
    file.text(std::string(tensor_prefix) + std::to_string(block));
    file.number(std::uint32_t{1});
    file.number(std::uint64_t{direction.size()});
    file.number(tensor_f32);
    file.number(offset);
    offset += (direction.size() * sizeof(float) + alignment - 1) / alignment * alignment;
  }
  for (const auto& [block, direction] : vector.directions) {
    file.align();
    file.floats(direction);
  }
  file.align();
  return file.bytes();
}

std::size_t block_of(const std::string& where, std::string_view name) {
  std::size_t block = 0;
  const std::string_view digits = name.starts_with(tensor_prefix) ? name.substr(tensor_prefix.size()) : std::string_view();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), block);
  if (error != std::errc() || end != digits.data() + digits.size() || block == 0) {
    throw Error({where, "tensors named direction.1, direction.2, ...", quoted(name), ""});
  }
  return block;
}

}  // namespace

ControlVector read_control_vector(const std::filesystem::path& path) {
  const std::string where = path.string();
  const Checkpoint file = open_checkpoint(path);
  const Json& architecture = file.metadata["general.architecture"];
  if (file.format != "gguf" || !architecture.is_string() || architecture.string() != "controlvector") {
    throw Error({where, "a GGUF file of the architecture controlvector", file.format + (architecture.is_string() ? " of " + quoted(architecture.string()) : ""), ""});
  }
  ControlVector vector;
  const Json& hint = file.metadata["controlvector.model_hint"];
  if (hint.is_string()) vector.model_hint = hint.string();
  for (const NamedTensor& tensor : file.tensors) {
    if (tensor.shape.size() != 1 || dtype_info(tensor.weight.type).expand == nullptr) {
      throw Error({where + ": " + quoted(tensor.name), "one axis of numbers", "another shape or type", ""});
    }
    const Tensor numbers = expand(tensor.weight);
    const std::vector<float> direction(numbers.floats().begin(), numbers.floats().end());
    for (const float number : direction) {
      if (!std::isfinite(number)) throw Error({where + ": " + quoted(tensor.name), "finite numbers", "others", ""});
    }
    if (!vector.directions.empty() && vector.directions.begin()->second.size() != direction.size()) {
      throw Error({where + ": " + quoted(tensor.name), std::to_string(vector.directions.begin()->second.size()) + " numbers, as the others", std::to_string(direction.size()), ""});
    }
    vector.directions[block_of(where, tensor.name)] = direction;
  }
  if (vector.directions.empty()) throw Error({where, "at least one direction", "none", ""});
  return vector;
}

void write_control_vector(const ControlVector& vector, const std::filesystem::path& path) {
  if (vector.directions.empty()) throw Error({path.string(), "at least one direction", "none", ""});
  if (vector.directions.contains(0)) throw Error({path.string(), "directions of blocks from 1 on, as llama.cpp reads them", "one of block 0", ""});
  write_in_one_step(path, [bytes = encoded(vector)](std::ostream& file) { file << bytes; });
}

}  // namespace vitrine
