#include "core/checkpoint/gguf_writer.h"

#include <algorithm>
#include <set>

#include "core/base/durable_file.h"
#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t longest_name = 63;  // bytes: ggml keeps 64 with the zero behind
constexpr std::size_t most_axes = 4;

std::uint64_t rounded_up(std::uint64_t bytes, std::uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

void check(const std::filesystem::path& path, std::span<const TensorToWrite> tensors) {
  std::set<std::string_view> names;
  for (const TensorToWrite& tensor : tensors) {
    const std::string where = path.string() + ": tensor " + quoted(tensor.name);
    if (tensor.name.empty() || tensor.name.size() > longest_name) {
      throw Error({where, "a name of 1 to " + std::to_string(longest_name) + " bytes, as GGUF holds them", std::to_string(tensor.name.size()), ""});
    }
    if (!names.insert(tensor.name).second) throw Error({where, "one of this name", "two", ""});
    if (tensor.shape.size() > most_axes) throw Error({where, "at most 4 axes, as GGUF holds them", std::to_string(tensor.shape.size()), ""});
  }
}

GgufBytes header_of(const GgufMetadata& metadata, std::span<const TensorToWrite> tensors, std::uint64_t alignment) {
  GgufBytes header;
  header.add(std::uint32_t{0x46554747});  // "GGUF"
  header.add(std::uint32_t{3});
  header.add(std::uint64_t{tensors.size()});
  header.add(std::uint64_t{metadata.pairs().size()});
  for (const auto& [key, value] : metadata.pairs()) {
    header.add(key);
    header.add(value);
  }
  std::uint64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    header.add(tensor.name);
    const std::vector<std::size_t> shape = tensor.shape.empty() ? std::vector<std::size_t>{1} : tensor.shape;
    header.add(static_cast<std::uint32_t>(shape.size()));
    for (auto axis = shape.rbegin(); axis != shape.rend(); ++axis) header.add(std::uint64_t{*axis});
    header.add(ggml_type(tensor.type));
    header.add(begin);
    begin = rounded_up(begin + tensor.bytes(), alignment);
  }
  return header;
}

Json json_of(const std::string& key, std::span<const std::byte> value) {
  GgufCursor in(key, value);
  return read_gguf_value(in, "value");
}

}  // namespace

GgufMetadata::GgufMetadata(std::span<const MetadataBytes> pairs) {
  for (const MetadataBytes& pair : pairs) pairs_.emplace_back(pair.key, std::vector<std::byte>(pair.value.begin(), pair.value.end()));
}

void GgufMetadata::set(std::string_view key, const GgufValue& value) {
  const auto found = std::ranges::find(pairs_, key, &Pair::first);
  if (found != pairs_.end()) found->second = gguf_bytes(value);
  else pairs_.emplace_back(key, gguf_bytes(value));
}

bool GgufMetadata::has(std::string_view key) const { return std::ranges::find(pairs_, key, &Pair::first) != pairs_.end(); }

Json GgufMetadata::json(std::string_view key) const {
  const auto found = std::ranges::find(pairs_, key, &Pair::first);
  return found == pairs_.end() ? Json() : json_of(found->first, found->second);
}

Json GgufMetadata::json() const {
  Json::Object members;
  for (const auto& [key, value] : pairs_) members.emplace_back(key, json_of(key, value));
  return members;
}

void write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata, std::span<const TensorToWrite> tensors, Run& run) {
  check(path, tensors);
  const Json said = metadata.json("general.alignment");
  const std::uint64_t alignment = said.is_integer() ? static_cast<std::uint64_t>(said.integer()) : 32;
  const GgufBytes header = header_of(metadata, tensors, alignment);
  const std::uint64_t total = bytes_of(tensors);
  require_space(path, header.all().size() + total + alignment * (tensors.size() + 1));
  DurableFile file(path);
  file.write(header.all());
  file.pad(alignment);
  std::uint64_t done = 0;
  for (const TensorToWrite& tensor : tensors) {
    run.step("writing " + path.filename().string(), done, total);
    const Weight weight = made(tensor);
    file.write({weight.data, weight.bytes()});
    file.pad(alignment);
    done += weight.bytes();
  }
  run.step("writing " + path.filename().string(), done, total);
  file.commit();
}

}  // namespace vitrine
