#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "viewer/draw/heat_map.h"

// Where things are on the screen, by name: tests click what a user would click, without pixels in their code.

namespace vitrine {

struct Rectangle {
  Corner from, to;
  Corner middle() const { return {(from.x + to.x) / 2, (from.y + to.y) / 2}; }
};

/// Names the last item of ImGui, or a rectangle that was drawn by hand. Forgotten at the next frame.
void name_item(std::string_view name);
void name_rectangle(std::string_view name, const Rectangle& where);
/// None where nothing of that name was drawn in the last frame.
std::optional<Rectangle> item_named(std::string_view name);
/// Everything that was drawn in the last frame.
const std::map<std::string, Rectangle, std::less<>>& all_items();
/// Called by whoever makes frames.
void forget_items();

}  // namespace vitrine
