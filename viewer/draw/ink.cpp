#include "viewer/draw/ink.h"

#include <imgui.h>

namespace vitrine {

bool light_look() { return ImGui::GetStyleColorVec4(ImGuiCol_WindowBg).x > 0.5f; }

std::uint32_t ink() { return ImGui::GetColorU32(ImGuiCol_Text); }
std::uint32_t faint_ink() { return light_look() ? IM_COL32(95, 95, 100, 255) : IM_COL32(150, 150, 160, 255); }
std::uint32_t mark_ink() { return light_look() ? IM_COL32(205, 75, 0, 255) : IM_COL32(255, 120, 60, 255); }
std::uint32_t ink_of(const Color& color) { return ImGui::GetColorU32(ImVec4(color.red, color.green, color.blue, 1.0f)); }
std::uint32_t packed_ink_on(const Color& color) { return ink_of(ink_on(color)); }

void upward_text(Corner at, Corner safe, std::uint32_t color, const std::string& text) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const int first = list->VtxBuffer.Size;
  list->AddText({safe.x, safe.y}, color, text.c_str());
  for (int i = first; i < list->VtxBuffer.Size; ++i) {
    const ImVec2 from = list->VtxBuffer[i].pos;
    list->VtxBuffer[i].pos = {at.x + (from.y - safe.y), at.y - (from.x - safe.x)};
  }
}

}  // namespace vitrine
