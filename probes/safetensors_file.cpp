#include "probes/safetensors_file.h"

#include <cstdint>
#include <fstream>

#include "core/base/error.h"
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
  const std::filesystem::path begun = path.string() + ".part";
  std::ofstream file(begun, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text;
  for (const auto& [name, tensor] : tensors)
    file.write(reinterpret_cast<const char*>(tensor.numbers.data()), static_cast<std::streamsize>(tensor.numbers.size_bytes()));
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(begun, path, failed);
  if (!file || failed) {
    std::error_code ignored;
    std::filesystem::remove(begun, ignored);
    throw Error({path.string(), "a file that can be written", "none", ""});
  }
}

}  // namespace vitrine
