#pragma once

#include <string>

#include <cstdint>

#include "viewer/draw/heat_map.h"

namespace vitrine {

/// Colours of things drawn by hand, for the look that is on: 32 bits as ImGui packs them.
std::uint32_t ink();          ///< text and lines
std::uint32_t faint_ink();    ///< what is less important
std::uint32_t mark_ink();     ///< what was chosen
std::uint32_t ink_of(const Color& color);
/// ink_on() of figures, packed.
std::uint32_t packed_ink_on(const Color& color);
bool light_look();

/// Text that reads upwards from `at`. ImGui drops glyphs outside of the clip rectangle before they are turned, so the text is laid out at
/// `safe`, a place inside it, and then moved.
void upward_text(Corner at, Corner safe, std::uint32_t color, const std::string& text);

}  // namespace vitrine
