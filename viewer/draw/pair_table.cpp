#include "viewer/draw/pair_table.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "probes/head_place.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/forest.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr ImGuiTableFlags table_flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingStretchProp | ImGuiTableFlags_BordersInnerV;

ImU32 bar_ink(bool positive) {
  return positive ? verdict_ink(Verdict::differs) : verdict_ink(Verdict::equivalent);
}

/// A bar from the middle of the cell, with its number; `most` fills a half.
void draw_signed_bar(double value, double most) {
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x, line = ImGui::GetTextLineHeight(), middle = at.x + width / 2;
  const float length = most > 0.0 ? static_cast<float>(value / most) * (width / 2 - 2.0f) : 0.0f;
  ImDrawList* list = ImGui::GetWindowDrawList();
  list->AddRectFilled({std::min(middle, middle + length), at.y + 2.0f}, {std::max(middle, middle + length), at.y + line - 2.0f}, (bar_ink(value > 0.0) & 0x00ffffffu) | 0x90000000u);
  list->AddLine({middle, at.y}, {middle, at.y + line}, faint_ink());
  char text[32];
  std::snprintf(text, sizeof text, "%+.3f", value);
  const float text_width = ImGui::CalcTextSize(text).x;
  list->AddText({value > 0.0 ? middle - text_width - 4.0f : middle + 4.0f, at.y}, ink(), text);
  ImGui::Dummy({width, line});
}

void draw_token(const std::vector<std::string>& labels, const std::optional<std::size_t>& at, double log_probability, bool hide) {
  ImGui::TableNextColumn();
  if (at && *at < labels.size()) ImGui::TextUnformatted(hide ? "\u00b7\u00b7\u00b7" : drawable(labels[*at]).c_str());
  ImGui::TableNextColumn();
  if (!at) return;
  std::isnan(log_probability) ? ImGui::TextDisabled("-") : ImGui::Text("%.3f", log_probability);
}

const char* part_name(PairLine::Part part) {
  switch (part) {
    case PairLine::Part::prefix: return "shared before";
    case PairLine::Part::changed: return "exchanged";
    case PairLine::Part::rest: return "shared after";
  }
  return "";
}

}  // namespace

std::optional<std::size_t> draw_pair_table(std::string_view item, const PairTableOrder& order) {
  std::optional<std::size_t> clicked;
  const RecordedPair& pair = *order.pair;
  if (!ImGui::BeginTable("tokens", 6, table_flags)) return clicked;
  ImGui::TableSetupColumn("part", ImGuiTableColumnFlags_WidthStretch, 1.3f);
  ImGui::TableSetupColumn("in the first", ImGuiTableColumnFlags_WidthStretch, 1.4f);
  ImGui::TableSetupColumn("log p", ImGuiTableColumnFlags_WidthStretch, 0.9f);
  ImGui::TableSetupColumn("in the second", ImGuiTableColumnFlags_WidthStretch, 1.4f);
  ImGui::TableSetupColumn("log p##second", ImGuiTableColumnFlags_WidthStretch, 0.9f);
  ImGui::TableSetupColumn("difference, nats", ImGuiTableColumnFlags_WidthStretch, 2.4f);
  ImGui::TableHeadersRow();
  double most = 0.0;
  for (const PairLine& line : pair.lines) most = std::max(most, std::abs(line.difference()));
  for (std::size_t i = 0; i < pair.lines.size(); ++i) {
    const PairLine& line = pair.lines[i];
    ImGui::PushID(static_cast<int>(i));
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    if (ImGui::Selectable(part_name(line.part), false, ImGuiSelectableFlags_SpanAllColumns)) clicked = i;
    name_item(std::string(item) + "/" + std::to_string(i));
    ImGui::SetItemTooltip("click: the attention of the token before it, which predicts it");
    draw_token(pair.more_labels, line.more, line.more_log_probability, order.hide_texts);
    draw_token(pair.less_labels, line.less, line.less_log_probability, order.hide_texts);
    ImGui::TableNextColumn();
    if (line.part != PairLine::Part::prefix) draw_signed_bar(line.difference(), most);
    ImGui::PopID();
  }
  ImGui::EndTable();
  return clicked;
}

std::optional<std::size_t> draw_head_effects(std::string_view item, std::span<const HeadEffect> effects) {
  std::optional<std::size_t> clicked;
  double most = 0.0;
  for (const HeadEffect& each : effects) {
    for (const double value : {each.value, each.low, each.high}) most = std::isfinite(value) ? std::max(most, std::abs(value)) : most;
  }
  if (!ImGui::BeginTable("heads", 3, table_flags)) return clicked;
  ImGui::TableSetupColumn("head", ImGuiTableColumnFlags_WidthStretch, 0.8f);
  ImGui::TableSetupColumn("indirect effect [interval of it alone]", ImGuiTableColumnFlags_WidthStretch, 2.2f);
  ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthStretch, 3.0f);
  ImGui::TableHeadersRow();
  for (std::size_t i = 0; i < effects.size(); ++i) {
    const HeadEffect& effect = effects[i];
    ImGui::PushID(static_cast<int>(i));
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const std::string name = head_label(effect.layer, effect.head);
    if (ImGui::Selectable(name.c_str(), false, ImGuiSelectableFlags_SpanAllColumns)) clicked = i;
    name_item(std::string(item) + "/" + std::to_string(i));
    ImGui::SetItemTooltip("click: this head's attention over the pair");
    ImGui::TableNextColumn();
    const bool bounded = std::isfinite(effect.low) && std::isfinite(effect.high);
    bounded ? ImGui::Text("%.4g [%.3g, %.3g]", effect.value, effect.low, effect.high) : ImGui::Text("%.4g, too few clusters for an interval", effect.value);
    ImGui::TableNextColumn();
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float width = ImGui::GetContentRegionAvail().x, y = at.y + ImGui::GetTextLineHeight() / 2;
    const auto place = [&](double value) { return at.x + width / 2 + static_cast<float>(most > 0.0 ? std::clamp(value / most, -1.0, 1.0) : 0.0) * (width / 2 - 4.0f); };
    const ImU32 color = bar_ink(effect.value > 0.0);
    ImDrawList* list = ImGui::GetWindowDrawList();
    list->AddLine({at.x + width / 2, at.y}, {at.x + width / 2, at.y + ImGui::GetTextLineHeight()}, faint_ink());
    if (bounded) list->AddLine({place(effect.low), y}, {place(effect.high), y}, color, 2.0f);
    list->AddCircleFilled({place(effect.value), y}, 0.28f * ImGui::GetFontSize(), color);
    ImGui::PopID();
  }
  ImGui::EndTable();
  return clicked;
}

}  // namespace vitrine
