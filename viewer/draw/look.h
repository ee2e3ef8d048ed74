#pragma once

#include <string>

namespace vitrine {

/// How everything looks.
struct Look {
  bool light = false;      ///< else dark
  float scale = 1.0f;      ///< of all sizes, besides the display's own
  std::string font;        ///< a file, or empty: Debian's
};

/// Colours, distances and roundings of a look for ImGui's current context.
void apply_window_look(const Look& look);

}  // namespace vitrine
