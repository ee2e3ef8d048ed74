#include "probes/steering/control_vector.h"

#include <charconv>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf_writer.h"

namespace vitrine {
namespace {

constexpr std::string_view tensor_prefix = "direction.";

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
  GgufMetadata metadata;
  metadata.set("general.architecture", std::string("controlvector"));
  metadata.set("controlvector.model_hint", vector.model_hint);
  metadata.set("controlvector.layer_count", static_cast<std::int32_t>(vector.directions.size()));
  std::vector<TensorToWrite> tensors;
  for (const auto& [block, direction] : vector.directions) {
    const auto numbers = [&direction] { return Weight{DType::f32, 1, direction.size(), reinterpret_cast<const std::byte*>(direction.data()), nullptr}; };
    tensors.push_back({.name = std::string(tensor_prefix) + std::to_string(block), .shape = {direction.size()}, .make = numbers});
  }
  Run run;
  write_gguf(path, metadata, tensors, run);
}

}  // namespace vitrine
