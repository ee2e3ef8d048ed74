#include "core/model/metadata.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace vitrine {

namespace {

/// A model that sees besides (Gemma 3) keeps what its text is made by in an object of its own.
const Json& root_of(const Json& metadata) { return metadata["text_config"].is_object() ? metadata["text_config"] : metadata; }

}  // namespace

MetadataReader::MetadataReader(const Checkpoint& checkpoint)
    : checkpoint_(checkpoint), root_(root_of(checkpoint.metadata)), architecture_(is_gguf() ? model_type(checkpoint) : "") {}

const Json& MetadataReader::value(std::string_view key) const {
  static const Json none;
  if (!key.starts_with('%')) return root_[key];
  return is_gguf() ? root_[architecture_ + std::string(key.substr(1))] : none;
}

const Json& MetadataReader::find(std::initializer_list<std::string_view> keys) const {
  static const Json none;
  for (const std::string_view key : keys) {
    if (const Json& found = value(key); !found.is_null()) return found;
  }
  return none;
}

std::string_view MetadataReader::spelling(std::initializer_list<std::string_view> keys) const {
  for (const std::string_view key : keys) {
    if (!value(key).is_null()) return key;
  }
  const auto fits = std::ranges::find_if(keys, [&](std::string_view key) { return is_gguf() || (!key.starts_with('%') && key.find('.') == std::string_view::npos); });
  return fits == keys.end() ? *keys.begin() : *fits;
}

bool MetadataReader::lists(std::string_view key) const {
  return root_.is_object() && std::ranges::any_of(root_.members(), [&](const auto& member) { return member.first == key; });
}

bool MetadataReader::has(std::initializer_list<std::string_view> keys) const { return !find(keys).is_null(); }

void MetadataReader::refuse(std::string_view key, std::string_view expected, std::string_view found) const {
  const std::string name = key.starts_with('%') ? architecture_ + std::string(key.substr(1)) : std::string(key);
  throw Error({checkpoint_.path.string() + ": " + name, std::string(expected), std::string(found), ""});
}

std::size_t MetadataReader::count(std::initializer_list<std::string_view> keys, std::size_t limit) const {
  const Json& value = find(keys);
  const std::string expected = "a whole number from 1 to " + std::to_string(limit);
  if (value.is_null()) refuse(spelling(keys), expected, "nothing");
  if (!value.is_integer() || value.integer() < 1 || static_cast<std::uint64_t>(value.integer()) > limit) {
    refuse(spelling(keys), expected, quoted(value.dump()));
  }
  return static_cast<std::size_t>(value.integer());
}

std::size_t MetadataReader::count_or(std::initializer_list<std::string_view> keys, std::size_t fallback) const {
  return has(keys) ? count(keys) : fallback;
}

double MetadataReader::number_or(std::initializer_list<std::string_view> keys, double fallback) const {
  const Json& value = find(keys);
  if (value.is_null()) return fallback;
  if (!value.is_number() || !std::isfinite(value.number())) refuse(spelling(keys), "a finite number", quoted(value.dump()));
  return value.number();
}

bool MetadataReader::flag_or(std::initializer_list<std::string_view> keys, bool fallback) const {
  const Json& value = find(keys);
  if (value.is_null()) return fallback;
  if (!value.is_bool()) refuse(spelling(keys), "true or false", quoted(value.dump()));
  return value.boolean();
}

std::string MetadataReader::text_or(std::initializer_list<std::string_view> keys, std::string_view fallback) const {
  const Json& value = find(keys);
  if (value.is_null()) return std::string(fallback);
  if (!value.is_string()) refuse(spelling(keys), "a text", quoted(value.dump()));
  return value.string();
}

const Json::Array* MetadataReader::list(std::string_view key, std::size_t length) const {
  const Json& found = value(key);
  if (found.is_null()) return nullptr;
  if (!found.is_array() || found.items().size() != length) {
    refuse(key, "a list of " + std::to_string(length), found.is_array() ? "one of " + std::to_string(found.items().size()) : quoted(found.dump()));
  }
  return &found.items();
}

std::vector<std::string> MetadataReader::texts(std::string_view key, std::size_t length) const {
  std::vector<std::string> texts;
  const Json::Array* items = list(key, length);
  for (std::size_t i = 0; items && i < length; ++i) {
    if (!(*items)[i].is_string()) refuse(key, "a list of texts", quoted((*items)[i].dump()));
    texts.push_back((*items)[i].string());
  }
  return texts;
}

std::vector<std::size_t> MetadataReader::counts(std::string_view key, std::size_t length) const {
  std::vector<std::size_t> counts;
  const Json::Array* items = list(key, length);
  for (std::size_t i = 0; items && i < length; ++i) {
    const Json& item = (*items)[i];
    const bool truth = item.is_bool(), whole = item.is_integer() && item.integer() >= 0;
    if (!truth && !whole) refuse(key, "a list of whole numbers", quoted(item.dump()));
    counts.push_back(truth ? item.boolean() : static_cast<std::size_t>(item.integer()));
  }
  return counts;
}

std::size_t MetadataReader::head_size(std::size_t width, std::size_t heads) const {
  if (width % heads != 0) {
    refuse("attention heads", "a divisor of the width " + std::to_string(width), std::to_string(heads));
  }
  return width / heads;
}

Activation MetadataReader::activation(std::string_view key, std::string_view fallback) const {
  return activation_named(key, text_or({key}, fallback));
}

Activation MetadataReader::activation_named(std::string_view key, std::string_view name) const {
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

namespace {

std::string bare(const std::string& name) { return name.substr(name.find('.') + 1); }

/// Whether any tensor's name begins with the first component of this one.
bool has_component(const Checkpoint& checkpoint, const std::string& name) {
  const std::string component = name.substr(0, name.find('.') + 1);
  const auto at = std::ranges::lower_bound(checkpoint.tensors, component, {}, &NamedTensor::name);
  return at != checkpoint.tensors.end() && at->name.starts_with(component);
}

}  // namespace

std::string NameTable::find(const Checkpoint& checkpoint, const WeightKey& key) const {
  const bool gguf = checkpoint.format == "gguf";
  std::string first;
  for (const Row& row : rows) {
    std::string name(gguf ? row.gguf : row.hugging_face);
    if (row.role != key.role || name.empty()) continue;
    if (const std::size_t at = name.find('#'); at != std::string::npos) name.replace(at, 1, block.empty() ? std::to_string(key.block) : std::string(block));
    if (const std::size_t at = name.find('@'); at != std::string::npos) name.replace(at, 1, gguf ? gguf_prefix : prefix);
    if (first.empty()) first = (gguf || has_component(checkpoint, name) ? name : bare(name)) + (key.bias ? ".bias" : ".weight");
    for (const std::string& base : {name, gguf ? name : bare(name)}) {
      for (const std::string_view end : {key.bias ? ".bias" : ".weight", key.bias ? ".beta" : ".gamma"}) {
        if (checkpoint.find(base + std::string(end))) return base + std::string(end);
      }
    }
  }
  return first;
}

}  // namespace vitrine
