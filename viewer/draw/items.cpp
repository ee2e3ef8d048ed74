#include "viewer/draw/items.h"

#include <imgui.h>

namespace vitrine {
namespace {

std::map<std::string, Rectangle, std::less<>>& items() {
  static std::map<std::string, Rectangle, std::less<>> drawn;
  return drawn;
}

}  // namespace

void name_item(std::string_view name) {
  const ImVec2 from = ImGui::GetItemRectMin(), to = ImGui::GetItemRectMax();
  name_rectangle(name, {{from.x, from.y}, {to.x, to.y}});
}

void name_rectangle(std::string_view name, const Rectangle& where) { items().insert_or_assign(std::string(name), where); }

std::optional<Rectangle> item_named(std::string_view name) {
  const auto found = items().find(name);
  return found == items().end() ? std::nullopt : std::optional(found->second);
}

const std::map<std::string, Rectangle, std::less<>>& all_items() { return items(); }

void forget_items() { items().clear(); }

}  // namespace vitrine
