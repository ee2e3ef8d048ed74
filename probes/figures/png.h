#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vitrine {

/// A PNG file's bytes. @param rgba  [height, width, 4]
std::string png_of(std::span<const std::uint8_t> rgba, std::size_t width, std::size_t height);

/// The same with at most 256 colours, which makes a far smaller file of a map.
/// @param places   [height, width] in the palette
/// @param palette  [colours, 3]
std::string png_of_palette(std::span<const std::uint8_t> places, std::size_t width, std::span<const std::uint8_t> palette);

}  // namespace vitrine
