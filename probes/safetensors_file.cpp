#include "probes/safetensors_file.h"

#include <cstdint>
#include <ostream>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "core/base/json.h"

namespace vitrine {

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, NamedFloats>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) {
    Json texts;
    for (const auto& [name, text] : metadata) texts.set(name, text);
    header.set("__metadata__", texts);
  }
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    Json shape = Json::array(), places = Json::array();
    std::size_t count = 1;
    for (const std::size_t extent : tensor.shape) {
      shape.push(static_cast<std::uint64_t>(extent));
      count *= extent;
    }
    VITRINE_CHECK(count == tensor.numbers.size());
    places.push(offset);
    places.push(offset += tensor.numbers.size_bytes());
    header.set(name, Json::object().set("dtype", "F32").set("shape", shape).set("data_offsets", places));
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // numbers begin at a multiple of 8
  const std::uint64_t length = text.size();
  write_in_one_step(path, [&](std::ostream& file) {
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << text;
    for (const auto& [name, tensor] : tensors)
      file.write(reinterpret_cast<const char*>(tensor.numbers.data()), static_cast<std::streamsize>(tensor.numbers.size_bytes()));
  });
}

}  // namespace vitrine
