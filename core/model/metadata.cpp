#include "core/model/metadata.h"

#include <cmath>

#include "core/base/error.h"

namespace vitrine {

const Json& MetadataReader::find(std::initializer_list<std::string_view> keys) const {
  for (const std::string_view key : keys) {
    if (checkpoint_.metadata.has(key)) return checkpoint_.metadata[key];
  }
  static const Json none;
  return none;
}

bool MetadataReader::has(std::initializer_list<std::string_view> keys) const { return !find(keys).is_null(); }

void MetadataReader::refuse(std::string_view key, std::string_view expected, std::string_view found) const {
  throw Error({checkpoint_.path.string() + ": " + std::string(key), std::string(expected), std::string(found), ""});
}

std::size_t MetadataReader::count(std::initializer_list<std::string_view> keys, std::size_t limit) const {
  const Json& value = find(keys);
  const std::string expected = "a whole number from 1 to " + std::to_string(limit);
  if (value.is_null()) refuse(*keys.begin(), expected, "nothing");
  if (!value.is_integer() || value.integer() < 1 || static_cast<std::uint64_t>(value.integer()) > limit) {
    refuse(*keys.begin(), expected, quoted(value.dump()));
  }
  return static_cast<std::size_t>(value.integer());
}

std::size_t MetadataReader::count_or(std::initializer_list<std::string_view> keys, std::size_t fallback) const {
  return has(keys) ? count(keys) : fallback;
}

double MetadataReader::number_or(std::initializer_list<std::string_view> keys, double fallback) const {
  const Json& value = find(keys);
  if (value.is_null()) return fallback;
  if (!value.is_number() || !std::isfinite(value.number())) refuse(*keys.begin(), "a finite number", quoted(value.dump()));
  return value.number();
}

bool MetadataReader::flag_or(std::initializer_list<std::string_view> keys, bool fallback) const {
  const Json& value = find(keys);
  if (value.is_null()) return fallback;
  if (!value.is_bool()) refuse(*keys.begin(), "true or false", quoted(value.dump()));
  return value.boolean();
}

std::string MetadataReader::text_or(std::initializer_list<std::string_view> keys, std::string_view fallback) const {
  const Json& value = find(keys);
  if (value.is_null()) return std::string(fallback);
  if (!value.is_string()) refuse(*keys.begin(), "a text", quoted(value.dump()));
  return value.string();
}

std::size_t MetadataReader::head_size(std::size_t width, std::size_t heads) const {
  if (width % heads != 0) {
    refuse("attention heads", "a divisor of the width " + std::to_string(width), std::to_string(heads));
  }
  return width / heads;
}

Activation MetadataReader::activation(std::string_view key, std::string_view fallback) const {
  const std::string name = text_or({key}, fallback);
  if (name == "gelu" || name == "gelu_python") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" || name == "gelu_python_tanh") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "tanh") return Activation::tanh;
  refuse(key, "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu, swish or tanh", quoted(name));
}

std::string model_type(const Checkpoint& checkpoint) {
  const Json& name = checkpoint.metadata[checkpoint.format == "gguf" ? "general.architecture" : "model_type"];
  return name.is_string() ? name.string() : "";
}

std::string NameTable::find(const Checkpoint& checkpoint, const WeightKey& key) const {
  const bool gguf = checkpoint.format == "gguf";
  std::string first;
  for (const Row& row : rows) {
    std::string name(gguf ? row.gguf : row.hugging_face);
    if (row.role != key.role || name.empty()) continue;
    if (const std::size_t at = name.find('#'); at != std::string::npos) name.replace(at, 1, block.empty() ? std::to_string(key.block) : std::string(block));
    if (const std::size_t at = name.find('@'); at != std::string::npos) name.replace(at, 1, gguf ? gguf_prefix : prefix);
    if (first.empty()) first = name + (key.bias ? ".bias" : ".weight");
    for (const std::string& base : {name, gguf ? name : name.substr(name.find('.') + 1)}) {
      for (const std::string_view end : {key.bias ? ".bias" : ".weight", key.bias ? ".beta" : ".gamma"}) {
        if (checkpoint.find(base + std::string(end))) return base + std::string(end);
      }
    }
  }
  return first;
}

}  // namespace vitrine
