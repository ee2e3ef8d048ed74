#include "probes/figures/png.h"

#include <png.h>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// By libpng's simplified interface, which needs no handlers of errors.
std::string encoded(png_image& image, std::span<const std::uint8_t> pixels, std::span<const std::uint8_t> palette) {
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  const void* colors = palette.empty() ? nullptr : palette.data();
  const int good = png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, colors);
  if (good == 0) throw Error({"PNG", "a picture that can be packed", image.message, ""});
  bytes.resize(size);
  return bytes;
}

png_image image_of(std::size_t width, std::size_t height, png_uint_32 format) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = format;
  return image;
}

}  // namespace

std::string png_of(std::span<const std::uint8_t> rgba, std::size_t width, std::size_t height) {
  VITRINE_CHECK(width > 0 && height > 0 && rgba.size() == width * height * 4);
  png_image image = image_of(width, height, PNG_FORMAT_RGBA);
  return encoded(image, rgba, {});
}

std::string png_of_palette(std::span<const std::uint8_t> places, std::size_t width, std::span<const std::uint8_t> palette) {
  VITRINE_CHECK(width > 0 && !places.empty() && places.size() % width == 0 && palette.size() % 3 == 0 && palette.size() <= 768);
  png_image image = image_of(width, places.size() / width, PNG_FORMAT_RGB_COLORMAP);
  image.colormap_entries = static_cast<png_uint_32>(palette.size() / 3);
  return encoded(image, places, palette);
}

}  // namespace vitrine
