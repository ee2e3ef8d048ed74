#include "core/checkpoint/safetensors_writer.h"

#include <cstdint>
#include <cstdio>
#include <optional>
#include <ostream>
#include <string>

#include "core/base/durable_file.h"
#include "core/base/error.h"
#include "core/base/json.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// The format's word for a type; none for blocks.
std::optional<std::string> word_of(const TensorToWrite& tensor) {
  if (!tensor.word.empty()) return tensor.word;
  switch (tensor.type) {
    case DType::f32: case DType::f16: case DType::bf16: case DType::f64: case DType::i8: case DType::i16: case DType::i32: case DType::i64:
      return std::string(dtype_info(tensor.type).name);
    default: return std::nullopt;
  }
}

std::string header_of(const fs::path& path, std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) {
    Json texts;
    for (const auto& [name, text] : metadata) texts.set(name, text);
    header.set("__metadata__", texts);
  }
  Json::Object entries = header.members();
  std::uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const auto word = word_of(tensor);
    if (!word) {
      throw Error({path.string() + ": tensor " + quoted(tensor.name), "a type that safetensors holds", std::string(dtype_info(tensor.type).name), "write F32, F16 or BF16"});
    }
    Json shape = Json::array(), places = Json::array();
    for (const std::size_t extent : tensor.shape) shape.push(static_cast<std::uint64_t>(extent));
    places.push(offset);
    places.push(offset += tensor.bytes());
    entries.emplace_back(tensor.name, Json::object().set("dtype", *word).set("shape", shape).set("data_offsets", places));
  }
  std::string text = Json(std::move(entries)).dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // numbers begin at a multiple of 8
  return text;
}

struct Progress {
  std::string task;
  std::uint64_t done = 0, total = 0;
};

void write_one(const fs::path& path, std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata, Run& run, Progress& progress) {
  const std::string text = header_of(path, tensors, metadata);
  const std::uint64_t length = text.size();
  require_space(path, sizeof length + length + bytes_of(tensors));
  DurableFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const TensorToWrite& tensor : tensors) {
    run.step(progress.task, progress.done, progress.total);
    const Weight weight = made(tensor);
    file.write({weight.data, weight.bytes()});
    progress.done += weight.bytes();
  }
  file.commit();
}

/// The first tensor of each shard, and the number of tensors.
std::vector<std::size_t> shard_bounds(std::span<const TensorToWrite> tensors, std::uint64_t most_bytes) {
  std::vector<std::size_t> bounds{0};
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (bytes > 0 && bytes + tensors[i].bytes() > most_bytes) {
      bounds.push_back(i);
      bytes = 0;
    }
    bytes += tensors[i].bytes();
  }
  bounds.push_back(tensors.size());
  return bounds;
}

std::string shard_name(std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

void write_safetensors(const fs::path& path, std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata, Run& run) {
  Progress progress{.task = "writing " + path.filename().string(), .total = bytes_of(tensors)};
  write_one(path, tensors, metadata, run, progress);
  run.step(progress.task, progress.done, progress.total);
}

void write_safetensors(const fs::path& path, const std::map<std::string, NamedFloats>& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<TensorToWrite> list;
  for (const auto& [name, tensor] : tensors) {
    const std::span<const float> numbers = tensor.numbers;
    list.push_back({.name = name, .type = DType::f32, .shape = tensor.shape, .make = [numbers] {
                      return Weight{DType::f32, 1, numbers.size(), reinterpret_cast<const std::byte*>(numbers.data()), nullptr};
                    }});
  }
  Run run;
  write_safetensors(path, list, metadata, run);
}

void write_safetensors_folder(const fs::path& folder, std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata, Run& run,
                              const ShardRule& rule) {
  const std::vector<std::size_t> bounds = shard_bounds(tensors, rule.most_bytes);
  const std::size_t shards = bounds.size() - 1;
  if (shards == 1) return write_safetensors(folder / "model.safetensors", tensors, metadata, run);
  Progress progress{.task = "writing " + folder.filename().string(), .total = bytes_of(tensors)};
  Json::Object places;
  for (std::size_t i = 0; i < shards; ++i) {
    const std::span<const TensorToWrite> shard = tensors.subspan(bounds[i], bounds[i + 1] - bounds[i]);
    write_one(folder / shard_name(i, shards), shard, metadata, run, progress);
    for (const TensorToWrite& tensor : shard) places.emplace_back(tensor.name, shard_name(i, shards));
  }
  const Json index = Json::object().set("metadata", Json::object().set("total_size", progress.total)).set("weight_map", Json(std::move(places)));
  write_in_one_step(folder / "model.safetensors.index.json", [&](std::ostream& file) { file << index.dump(2) << '\n'; });
  run.step(progress.task, progress.done, progress.total);
}

}  // namespace vitrine
