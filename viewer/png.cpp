#include <cstdio>
#include <filesystem>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

#include "core/base/error.h"
#include "viewer/surface.h"

namespace vitrine {

void write_png(const std::string& path, PixelSize size, const std::vector<std::uint8_t>& rgba) {
  const std::string part = path + ".part";
  const bool written = stbi_write_png(part.c_str(), size.width, size.height, 4, rgba.data(), size.width * 4) != 0;
  std::error_code failed;
  if (written) std::filesystem::rename(part, path, failed);
  if (written && !failed) return;
  std::remove(part.c_str());
  throw Error({path, "to write a picture", failed ? failed.message() : "no room or no such folder", ""});
}

}  // namespace vitrine
