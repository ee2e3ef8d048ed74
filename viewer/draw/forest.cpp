#include "viewer/draw/forest.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "probes/figures/axis_internal.h"
#include "probes/figures/figure_text.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr float line_height = 1.55f;  // of a row, in lines of text

/// Where the columns of a forest stand, in pixels from its left end.
struct Columns {
  float left = 0.0f, plot = 0.0f, plot_end = 0.0f, numbers = 0.0f, verdict = 0.0f, right = 0.0f;
};

/// An axis on the screen.
struct Axis {
  double low = 0.0, high = 1.0;
  float from = 0.0f, to = 1.0f;
  float at(double value) const { return from + static_cast<float>((value - low) / (high - low)) * (to - from); }
  float inside(double value) const { return std::clamp(at(value), from, to); }
};

bool has_value(const Estimate& row) { return std::isfinite(row.value); }

/// Everything that the rows of a unit show.
Axis axis_of(std::span<const Estimate> estimates, std::string_view unit, const Columns& columns) {
  double low = INFINITY, high = -INFINITY;
  for (const Estimate& row : estimates) {
    if (row.unit != unit || !has_value(row)) continue;
    const double null = row.null_value.value_or(row.value), margin = row.margin && row.null_value ? *row.margin : 0.0;
    for (const double each : {row.low, row.high, row.value, null - margin, null + margin, row.control.value_or(row.value)}) {
      if (std::isfinite(each)) low = std::min(low, each), high = std::max(high, each);
    }
  }
  if (!(low <= high)) low = 0.0, high = 1.0;
  const double room = std::max(0.04 * (high - low), std::max(std::abs(high), 1e-9) * 1e-3);
  return {low - room, high + room, columns.plot, columns.plot_end};
}

Columns columns_of(std::span<const Estimate> estimates, float left, float width) {
  float names = 0.0f, numbers = 0.0f, verdicts = 0.0f;
  for (const Estimate& row : estimates) {
    names = std::max(names, ImGui::CalcTextSize(row.name.c_str()).x);
    numbers = std::max(numbers, ImGui::CalcTextSize(value_text(row).c_str()).x);
    verdicts = std::max(verdicts, ImGui::CalcTextSize(verdict_words(row.verdict).c_str()).x);
  }
  const float gap = 0.8f * ImGui::GetFontSize(), icon = 1.2f * ImGui::GetFontSize();
  numbers = std::min(numbers, 0.3f * width);
  const float free = width - numbers - verdicts - icon - 4 * gap;
  names = std::clamp(names, 0.0f, std::max(0.5f * free, free - 24.0f * ImGui::GetFontSize()));
  Columns columns;
  columns.left = left + gap / 2;
  columns.plot = columns.left + names + gap;
  columns.right = left + width - gap / 2;
  columns.verdict = columns.right - verdicts - icon;
  columns.numbers = columns.verdict - gap - numbers;
  columns.plot_end = columns.numbers - gap;
  return columns;
}

void dashed(ImDrawList* list, float x, float from, float to, ImU32 color) {
  for (float y = from; y < to; y += 6.0f) list->AddLine({x, y}, {x, std::min(y + 3.0f, to)}, color, 1.5f);
}

void draw_diamond(ImDrawList* list, ImVec2 at, float radius, ImU32 color) {
  list->AddQuad({at.x, at.y - radius}, {at.x + radius, at.y}, {at.x, at.y + radius}, {at.x - radius, at.y}, color, 1.5f);
}

/// An interval without an end runs out of the picture, without a cap.
void draw_interval(ImDrawList* list, const Estimate& row, const Axis& axis, float y) {
  const ImU32 color = verdict_ink(row.verdict);
  const bool begins = std::isfinite(row.low), ends = std::isfinite(row.high);
  const float from = begins ? axis.inside(row.low) : axis.from, to = ends ? axis.inside(row.high) : axis.to, cap = 0.3f * ImGui::GetFontSize();
  list->AddLine({from, y}, {to, y}, color, 2.0f);
  begins ? list->AddLine({from, y - cap}, {from, y + cap}, color, 2.0f) : list->AddTriangleFilled({from, y}, {from + cap, y - cap}, {from + cap, y + cap}, color);
  ends ? list->AddLine({to, y - cap}, {to, y + cap}, color, 2.0f) : list->AddTriangleFilled({to, y}, {to - cap, y - cap}, {to - cap, y + cap}, color);
}

void draw_plot_of(const Estimate& row, const Axis& axis, float top, float bottom) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float y = (top + bottom) / 2, radius = 0.33f * ImGui::GetFontSize();
  if (!has_value(row)) {
    const std::string reason = row.reason.empty() ? "no number" : drawable(row.reason);
    list->AddText({axis.from, y - ImGui::GetTextLineHeight() / 2}, faint_ink(), fitted(reason, axis.to - axis.from).c_str());
    return;
  }
  if (row.null_value && row.margin) {
    list->AddRectFilled({axis.inside(*row.null_value - *row.margin), top}, {axis.inside(*row.null_value + *row.margin), bottom}, ImGui::GetColorU32(ImGuiCol_TextDisabled, 0.18f));
  }
  if (row.null_value) dashed(list, axis.at(*row.null_value), top, bottom, faint_ink());
  draw_interval(list, row, axis, y);
  draw_verdict({axis.at(row.value), y}, radius, row.verdict);
  if (row.control) draw_diamond(list, {axis.at(*row.control), y}, 1.3f * radius, ink());
}

/// Without a null value or a control nothing was tested: there is no verdict to show.
bool was_judged(const Estimate& row) { return row.null_value || row.control || row.verdict != Verdict::inconclusive; }

void tooltip(const Estimate& row) {
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(36.0f * ImGui::GetFontSize());
  ImGui::TextUnformatted(drawable(row.name).c_str());
  if (has_value(row)) {
    ImGui::Text("%.6g %s, %.0f%% interval [%.6g, %.6g]", row.value, row.unit.c_str(), 100 * row.level, row.low, row.high);
    ImGui::Text("%s; resampled: %s, n %zu%s", row.method.empty() ? "no method stated" : row.method.c_str(), row.resampled_unit.empty() ? "nothing stated" : row.resampled_unit.c_str(), row.n,
                row.clusters > 0 ? (", " + std::to_string(row.clusters) + " clusters").c_str() : "");
    if (row.null_value) ImGui::Text("null %.6g%s", *row.null_value, row.margin ? (", margin " + std::to_string(*row.margin)).c_str() : "");
    if (row.control) ImGui::Text("control %.6g", *row.control);
    if (row.p && !row.family.empty()) ImGui::Text("p %.4g in family %s (%s)", *row.p, row.family.c_str(), row.tier.c_str());
    else if (!row.family.empty()) ImGui::Text("family %s (%s)", row.family.c_str(), row.tier.c_str());
  }
  if (was_judged(row)) ImGui::Text("%s%s%s", verdict_words(row.verdict).c_str(), row.reason.empty() ? "" : ": ", drawable(row.reason).c_str());
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

/// Returns whether it was clicked.
bool draw_row(const std::string& item, const Estimate& row, const Columns& columns, const Axis& axis, bool chosen) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float height = line_height * ImGui::GetTextLineHeight(), text = at.y + (height - ImGui::GetTextLineHeight()) / 2;
  const bool clicked = ImGui::InvisibleButton(item.c_str(), {columns.right - at.x, height});
  name_item(item);
  const bool hovered = ImGui::IsItemHovered(), focused = ImGui::IsItemFocused() && ImGui::GetIO().NavVisible;
  if (chosen || hovered || focused) list->AddRectFilled(at, {columns.right, at.y + height}, ImGui::GetColorU32(chosen ? ImGuiCol_Header : ImGuiCol_HeaderHovered, chosen ? 0.8f : 0.35f), 3.0f);
  const std::string name = drawable(row.name);
  list->AddText({columns.left, text}, ink(), fitted(name, columns.plot - columns.left - 4.0f).c_str());
  list->PushClipRect({axis.from - 6.0f, at.y}, {axis.to + 6.0f, at.y + height}, true);
  draw_plot_of(row, axis, at.y, at.y + height);
  list->PopClipRect();
  list->AddText({columns.numbers, text}, has_value(row) ? ink() : faint_ink(), fitted(value_text(row), columns.verdict - columns.numbers).c_str());
  if (hovered) tooltip(row);
  if (!was_judged(row)) return clicked;
  draw_verdict({columns.verdict + 0.4f * ImGui::GetFontSize(), at.y + height / 2}, 0.3f * ImGui::GetFontSize(), row.verdict);
  list->AddText({columns.verdict + 1.1f * ImGui::GetFontSize(), text}, verdict_ink(row.verdict), verdict_words(row.verdict).c_str());
  return clicked;
}

void draw_axis(const Axis& axis, const std::string& unit) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float y = ImGui::GetCursorScreenPos().y + 2.0f, line = ImGui::GetTextLineHeight();
  list->AddLine({axis.from, y}, {axis.to, y}, faint_ink());
  for (const double tick : round_ticks(axis.low, axis.high, std::max(2.0, static_cast<double>(axis.to - axis.from) / (5.0 * static_cast<double>(ImGui::GetFontSize()))))) {
    const float x = axis.at(tick);
    const std::string text = number_text(tick);
    list->AddLine({x, y}, {x, y + 4.0f}, faint_ink());
    list->AddText({x - ImGui::CalcTextSize(text.c_str()).x / 2, y + 5.0f}, faint_ink(), text.c_str());
  }
  const std::string words = unit.empty() ? "(no unit)" : drawable(unit);
  list->AddText({(axis.from + axis.to - ImGui::CalcTextSize(words.c_str()).x) / 2, y + line + 5.0f}, faint_ink(), words.c_str());
  ImGui::Dummy({1.0f, 2.6f * line});
}

}  // namespace

std::string verdict_words(Verdict verdict) {
  std::string words(verdict_name(verdict));
  std::ranges::replace(words, '_', ' ');
  return words;
}

std::uint32_t verdict_ink(Verdict verdict) {
  const bool light = light_look();
  if (verdict == Verdict::differs) return light ? IM_COL32(190, 85, 0, 255) : IM_COL32(255, 150, 70, 255);
  if (verdict == Verdict::equivalent || verdict == Verdict::trivial) return light ? IM_COL32(0, 95, 190, 255) : IM_COL32(90, 190, 255, 255);
  return light ? IM_COL32(95, 95, 100, 255) : IM_COL32(190, 190, 195, 255);
}

void draw_verdict(Corner middle, float radius, Verdict verdict) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const ImU32 color = verdict_ink(verdict);
  const ImVec2 at{middle.x, middle.y};
  switch (verdict) {
    case Verdict::differs: return list->AddCircleFilled(at, radius, color);
    case Verdict::equivalent:
      list->AddCircleFilled(at, radius, ImGui::GetColorU32(ImGuiCol_WindowBg));
      return list->AddCircle(at, radius, color, 0, 2.0f);
    case Verdict::trivial:
      list->AddCircle(at, radius, color, 0, 2.0f);
      return list->AddCircleFilled(at, 0.45f * radius, color);
    case Verdict::inconclusive: return list->AddRectFilled({at.x - 0.8f * radius, at.y - 0.8f * radius}, {at.x + 0.8f * radius, at.y + 0.8f * radius}, color);
    case Verdict::not_measurable:
    case Verdict::not_comparable:
      list->AddLine({at.x - radius, at.y - radius}, {at.x + radius, at.y + radius}, color, 2.0f);
      list->AddLine({at.x - radius, at.y + radius}, {at.x + radius, at.y - radius}, color, 2.0f);
  }
}

void draw_forest_legend() {
  const float size = ImGui::GetFontSize();
  const float end = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
  bool first = true;
  const auto entry = [&](const std::string& words, const auto& draw) {
    const float width = 1.4f * size + ImGui::CalcTextSize(words.c_str()).x;
    if (!first && ImGui::GetItemRectMax().x + size + width < end) ImGui::SameLine(0.0f, size);
    first = false;
    const ImVec2 at = ImGui::GetCursorScreenPos();
    draw(ImVec2{at.x + 0.5f * size, at.y + 0.5f * ImGui::GetTextLineHeight()});
    ImGui::Dummy({1.2f * size, ImGui::GetTextLineHeight()});
    ImGui::SameLine(0.0f, 0.2f * size);
    ImGui::TextDisabled("%s", words.c_str());
  };
  for (const Verdict verdict : {Verdict::differs, Verdict::equivalent, Verdict::trivial, Verdict::inconclusive, Verdict::not_measurable}) {
    entry(verdict_words(verdict), [&](ImVec2 at) { draw_verdict({at.x, at.y}, 0.3f * size, verdict); });
  }
  entry("control", [&](ImVec2 at) { draw_diamond(ImGui::GetWindowDrawList(), at, 0.4f * size, ink()); });
  entry("null", [&](ImVec2 at) { dashed(ImGui::GetWindowDrawList(), at.x, at.y - 0.5f * size, at.y + 0.5f * size, faint_ink()); });
  entry("margin", [&](ImVec2 at) { ImGui::GetWindowDrawList()->AddRectFilled({at.x - 0.4f * size, at.y - 0.5f * size}, {at.x + 0.4f * size, at.y + 0.5f * size}, ImGui::GetColorU32(ImGuiCol_TextDisabled, 0.3f)); });
}

std::optional<std::size_t> draw_forest(std::string_view items, std::span<const Estimate> estimates, std::optional<std::size_t> chosen) {
  std::optional<std::size_t> clicked;
  const Columns columns = columns_of(estimates, ImGui::GetCursorScreenPos().x, ImGui::GetContentRegionAvail().x);
  ImGui::PushStyleVar(ImGuiStyleVar_ItemSpacing, {0.0f, 0.0f});
  for (const std::string& unit : units_of(estimates)) {
    const Axis axis = axis_of(estimates, unit, columns);
    const Estimate* before = nullptr;
    for (std::size_t i = 0; i < estimates.size(); ++i) {
      if (estimates[i].unit != unit) continue;
      if (before != nullptr && before->family != estimates[i].family) ImGui::Dummy({1.0f, 0.4f * ImGui::GetTextLineHeight()});  // headline, parts, baselines, ... stand apart
      before = &estimates[i];
      if (draw_row(std::string(items) + "/row/" + std::to_string(i), estimates[i], columns, axis, chosen == i)) clicked = i;
    }
    const bool any = std::ranges::any_of(estimates, [&](const Estimate& each) { return each.unit == unit && has_value(each); });
    any ? draw_axis(axis, unit) : ImGui::Dummy({1.0f, ImGui::GetTextLineHeight()});
  }
  ImGui::PopStyleVar();
  return clicked;
}

std::string value_text(const Estimate& estimate) {
  if (!has_value(estimate)) return "";
  char text[96];
  std::snprintf(text, sizeof text, "%.3g [%.3g, %.3g]", estimate.value, estimate.low, estimate.high);
  return text;
}

std::string fitted(const std::string& text, float width) {
  if (text.size() < 3 || ImGui::CalcTextSize(text.c_str()).x <= width) return text;
  const auto inside = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; };  // of a character of several bytes
  std::string front = text.substr(0, (text.size() + 1) / 2), back = text.substr(front.size());
  const auto drop_last = [&] { while (!front.empty() && inside(front.back())) front.pop_back(); if (!front.empty()) front.pop_back(); };
  const auto drop_first = [&] { if (!back.empty()) back.erase(0, 1); while (!back.empty() && inside(back.front())) back.erase(0, 1); };
  if (!back.empty() && inside(back.front())) drop_last(), drop_first();
  while ((!front.empty() || !back.empty()) && ImGui::CalcTextSize((front + "\u2026" + back).c_str()).x > width) front.size() >= back.size() ? drop_last() : drop_first();
  return front + "\u2026" + back;
}

}  // namespace vitrine
