#include "probes/figures/png.h"

#include <ostream>

#include "core/base/part_file.h"
#include "viewer/draw/surface.h"

namespace vitrine {

void write_png(const std::string& path, PixelSize size, const std::vector<std::uint8_t>& rgba) {
  const std::string bytes = png_of(rgba, static_cast<std::size_t>(size.width), static_cast<std::size_t>(size.height));
  write_in_one_step(path, [&](std::ostream& file) { file << bytes; });
}

}  // namespace vitrine
