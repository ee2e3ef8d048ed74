#include "viewer/draw/color_strip.h"

#include <imgui.h>

#include <cmath>
#include <cstdio>

#include "viewer/draw/ink.h"

namespace vitrine {
namespace {

constexpr int strips = 64;

/// The number that has the colour at a share of the strip: what spread_position() takes there, found by halving.
double value_at(const ValueColors& colors, double share) {
  double low = colors.low, high = colors.high;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (spread_position(colors.spread, middle, colors.low, colors.high) < share ? low : high) = middle;
  }
  return high;
}

}  // namespace

std::string short_number(double value) {
  if (std::isnan(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

void draw_color_strip(float width, const ValueColors& colors, const std::string& unit) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float line = ImGui::GetTextLineHeight(), height = line * 0.55f;
  const ImVec2 from = ImGui::GetCursorScreenPos();
  for (int i = 0; i < strips; ++i) {
    const float left = from.x + width * static_cast<float>(i) / strips;
    list->AddRectFilled({left, from.y}, {left + width / strips + 1.0f, from.y + height}, ink_of(color_at(colors.colors, (i + 0.5) / strips)));
  }
  for (const double share : {0.0, 0.5, 1.0}) {
    char number[32];
    const double value = share == 0.0 ? colors.low : share == 1.0 ? colors.high : value_at(colors, share);
    std::snprintf(number, sizeof number, "%.3g", std::abs(value) < 1e-9 * (colors.high - colors.low) ? 0.0 : value);
    const float text = ImGui::CalcTextSize(number).x, at = from.x + width * static_cast<float>(share) - text * static_cast<float>(share);
    list->AddText({at, from.y + height}, faint_ink(), number);
  }
  list->AddText({from.x + width + 8.0f, from.y - line * 0.2f}, ink(), unit.c_str());
  ImGui::Dummy({width + 12.0f + ImGui::CalcTextSize(unit.c_str()).x, height + line});
}

}  // namespace vitrine
