#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// The first font that is there, ImGui's own where none is, and the glyphs of others that it lacks (Noto: Chinese, Japanese, Korean and
/// more), made as they are met.
/// @param own  a font file of the user's, or empty  @throws Error where that cannot be read
void choose_fonts(const std::string& own);

/// ImGui joins and turns no letters: scripts that need it (Arabic, Devanagari, Thai, ...) are shown as code points, and so are
/// characters that no font has.
std::string drawable(std::string_view text);
/// drawable() of each; as they are where there is no window (exports).
std::vector<std::string> drawable_labels(const std::vector<std::string>& labels);
/// Whether drawable() changes the text.
bool needs_code_points(std::string_view text);

}  // namespace vitrine
