#pragma once

#include <string>

#include "viewer/draw/surface.h"
#include "viewer/desk.h"

namespace vitrine {

/// What looking at a recording costs here, measured without a display: opening, heads until something of them is seen, frames while a map
/// is moved and zoomed and while all thumbnails are scrolled; medians and 99th percentiles in milliseconds, and the process' memory.
/// @throws Error where the file cannot be opened or has no attention
Json frame_times(const std::string& file, PixelSize size, std::size_t frames);
std::string frame_times_text(const Json& times);

}  // namespace vitrine
