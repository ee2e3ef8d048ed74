#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

#include "core/base/error.h"
#include "viewer/surface.h"

namespace vitrine {

void write_png(const std::string& path, PixelSize size, const std::vector<std::uint8_t>& rgba) {
  std::vector<char> bytes;  // stb's own file writing does not notice a full disk
  const auto append = [](void* target, void* data, int count) {
    const char* from = static_cast<const char*>(data);
    static_cast<std::vector<char>*>(target)->insert(static_cast<std::vector<char>*>(target)->end(), from, from + count);
  };
  VITRINE_CHECK(stbi_write_png_to_func(append, &bytes, size.width, size.height, 4, rgba.data(), size.width * 4) != 0);
  const std::string part = path + ".part" + std::to_string(getpid());
  std::ofstream file(part, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(part, path, failed);
  if (file && !failed) return;
  std::filesystem::remove(part, failed);
  throw Error({path, "to write a picture", "no room, no right or no such folder", ""});
}

}  // namespace vitrine
