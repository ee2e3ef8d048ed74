#include "viewer/draw/look.h"

#include <imgui.h>

namespace vitrine {

void apply_window_look(const Look& look) {
  ImGuiStyle& style = ImGui::GetStyle();
  const float display = style.FontScaleDpi;
  style = ImGuiStyle();
  look.light ? ImGui::StyleColorsLight(&style) : ImGui::StyleColorsDark(&style);
  style.Colors[ImGuiCol_WindowBg] = look.light ? ImVec4(0.97f, 0.97f, 0.97f, 1.0f) : ImVec4(0.07f, 0.07f, 0.085f, 1.0f);
  style.WindowRounding = 3.0f;
  style.FrameRounding = 2.0f;
  style.FrameBorderSize = look.light ? 1.0f : 0.0f;  // fields are white on almost white
  style.ScaleAllSizes(look.scale);
  style.FontScaleMain = look.scale;
  style.FontScaleDpi = display;
}

}  // namespace vitrine
