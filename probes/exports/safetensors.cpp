#include <fstream>

#include "core/base/error.h"
#include "core/base/json.h"
#include "probes/recording_tools/export.h"

// The safetensors format: the header's length as u64, a JSON header, then the numbers, one array behind the other
// (huggingface.co/docs/safetensors).

namespace vitrine {
namespace {

/// A type's name there, and its bytes.
std::pair<std::string_view, std::size_t> type_of(const ExportArray& array) {
  struct Type {
    std::string_view stored, name;
    std::size_t bytes;
  };
  for (const Type& type : {Type{"f32", "F32", 4}, Type{"f16", "F16", 2}, Type{"bf16", "BF16", 2}, Type{"i32", "I32", 4},
                           Type{"u64", "U64", 8}, Type{"u8", "U8", 1}, Type{"f64", "F64", 8}}) {
    if (type.stored == array.type) return {type.name, type.bytes};
  }
  throw Error({array.name, "a type that safetensors has", array.type, ""});
}

std::string header_of(const ExportJob& job) {
  Json header;
  header.set("__metadata__", Json::object()
                                 .set("format", "pt")
                                 .set("model", job.recording.provenance()["model"])
                                 .set("recording", job.recording.path().filename().string()));
  std::uint64_t offset = 0;
  for (const ExportArray& array : job.arrays) {
    const auto [name, item] = type_of(array);
    Json shape = Json::array();
    std::uint64_t bytes = item;
    for (const std::size_t extent : array.shape) {
      shape.push(static_cast<std::uint64_t>(extent));
      bytes *= extent;
    }
    Json offsets = Json::array();
    offsets.push(offset).push(offset + bytes);
    header.set(array.name, Json::object().set("dtype", name).set("shape", shape).set("data_offsets", offsets));
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the numbers begin where eight divides
  return text;
}

void write(const ExportJob& job) {
  std::ofstream file(job.path, std::ios::binary);
  const std::string header = header_of(job);
  const std::uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const ExportArray& array : job.arrays) {
    for_pieces(array, job.progress, [&](std::size_t begin, std::size_t count) {
      const std::vector<std::byte> numbers = array.stored(begin, count);
      file.write(reinterpret_cast<const char*>(numbers.data()), static_cast<std::streamsize>(numbers.size()));
    });
  }
  if (!file.flush()) throw Error({job.path.string(), "to write the arrays", "no room, or no right to", ""});
}

}  // namespace

const ExportFormat& export_format_safetensors() {
  static const ExportFormat format{"safetensors", "arrays by hook name in the types that the recording has", write};
  return format;
}

}  // namespace vitrine
