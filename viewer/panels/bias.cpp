#include <imgui.h>
#include <implot.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "viewer/panel.h"

// A study's estimates as points with their intervals, one plot a unit, with the verdict beside each.

namespace vitrine {
namespace {

struct Group {
  std::string unit;
  std::vector<Estimate> rows;
};

std::string text_of(const Json& json) { return json.is_string() ? json.string() : ""; }

/// Value, interval, count and verdict in words.
std::string detail_of(const Estimate& row) {
  char text[128] = "no value";
  if (std::isfinite(row.value))
    std::snprintf(text, sizeof text, "%.3g  [%.3g, %.3g]  n=%zu", row.value, row.low, row.high, row.n);
  return std::string(text) + "  " + std::string(verdict_name(row.verdict));
}

ImU32 color_of(Verdict verdict) {
  if (verdict == Verdict::differs) return IM_COL32(255, 150, 70, 255);
  if (verdict == Verdict::equivalent || verdict == Verdict::trivial) return IM_COL32(90, 190, 255, 255);
  return IM_COL32(190, 190, 195, 255);
}

class BiasView : public PanelView {
 public:
  explicit BiasView(const Document& document) : study_(document.json) {
    for (const Estimate& each : document.estimates) {
      auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.unit == each.unit; });
      if (group == groups_.end()) group = groups_.insert(groups_.end(), Group{each.unit, {}});
      group->rows.push_back(each);
    }
  }

  void draw(Desk&) override {
    ImGui::TextWrapped("Study %s   %s", text_of(study_["study"]).c_str(), text_of(study_["title"]).c_str());
    ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyleColorVec4(ImGuiCol_TextDisabled));
    ImGui::TextWrapped(
        "points are estimates, bars their intervals, vertical lines the null, diamonds the control; colour: orange "
        "differs, "
        "blue equivalent or trivial, grey neither");
    ImGui::PopStyleColor();
    ImGui::Separator();
    std::size_t rows = 0;
    for (const Group& group : groups_) rows += group.rows.size() + 3;
    const float room = ImGui::GetContentRegionAvail().y;
    const float line = std::clamp(room / static_cast<float>(std::max<std::size_t>(rows, 1)), 21.0f, 44.0f);
    ImGui::BeginChild("plots");
    ImPlot::PushStyleColor(ImPlotCol_FrameBg, ImVec4(0, 0, 0, 0));
    float details = 0.0f;
    for (const Group& group : groups_) {
      for (const Estimate& row : group.rows) details = std::max(details, ImGui::CalcTextSize(detail_of(row).c_str()).x);
    }
    const float width = std::max(200.0f, ImGui::GetContentRegionAvail().x - details - 12.0f);
    if (ImPlot::BeginAlignedPlots("aligned")) {
      for (const Group& group : groups_) draw_group(group, line, width);
      ImPlot::EndAlignedPlots();
    }
    ImPlot::PopStyleColor();
    ImGui::EndChild();
  }

  Figure figure(Desk&) override {
    Figure figure{.title = text_of(study_["title"])};
    for (const Group& group : groups_) figure.estimates.push_back({group.unit, group.rows});
    return figure;
  }

 private:
  /// What the axis of a group must show.
  static std::pair<double, double> range_of(const Group& group) {
    double low = INFINITY, high = -INFINITY;
    for (const Estimate& row : group.rows) {
      for (const double each :
           {row.low, row.high, row.value, row.null_value.value_or(row.value), row.control.value_or(row.value)}) {
        if (std::isfinite(each)) low = std::min(low, each), high = std::max(high, each);
      }
    }
    if (!(low <= high)) return {0.0, 1.0};
    const double room = std::max(0.05 * (high - low), std::max(std::abs(high), 1e-9) * 1e-3);
    return {low - room, high + room};
  }

  /// A name that takes at most `width` pixels; what is cut is in the middle, since names differ at both ends.
  static std::string fitted(const std::string& name, float width) {
    std::string front = name.substr(0, (name.size() + 1) / 2), back = name.substr(front.size());
    if (ImGui::CalcTextSize(name.c_str()).x <= width) return name;
    const auto whole = [](const std::string& text) {
      return text.front() == ' ' || (static_cast<unsigned char>(text.front()) & 0xc0) != 0x80;
    };
    while (front.size() > 1 && back.size() > 1 && ImGui::CalcTextSize((front + "\u2026" + back).c_str()).x > width) {
      front.pop_back();
      while (front.size() > 1 && (static_cast<unsigned char>(front.back()) & 0x80) != 0) front.pop_back();
      do back.erase(0, 1);
      while (back.size() > 1 && !whole(back));
    }
    return front + "\u2026" + back;
  }

  static void draw_group(const Group& group, float line, float width) {
    const auto count = static_cast<double>(group.rows.size());
    const auto [low, high] = range_of(group);
    std::vector<double> places;
    std::vector<std::string> labels;
    std::vector<const char*> names;
    for (const Estimate& row : group.rows) {
      places.push_back(count - static_cast<double>(places.size()));  // first row on top
      labels.push_back(fitted(row.name, 0.58f * width));
    }
    for (const std::string& label : labels) names.push_back(label.c_str());
    const ImVec2 origin = ImGui::GetCursorScreenPos(),
                 size{width, line * static_cast<float>(group.rows.size() + 2) + 16.0f};
    const std::string unit = group.unit.empty() ? "(no unit)" : group.unit;
    if (!ImPlot::BeginPlot(("##" + unit).c_str(), size,
                           ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText | ImPlotFlags_NoTitle))
      return;
    ImPlot::SetupAxes(unit.c_str(), nullptr, ImPlotAxisFlags_None,
                      ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_NoTickMarks);
    ImPlot::SetupAxesLimits(low, high, 0.3, count + 0.7, ImPlotCond_Once);
    ImPlot::SetupAxisTicks(ImAxis_Y1, places.data(), static_cast<int>(places.size()), names.data());
    ImPlot::PushPlotClipRect();
    std::vector<float> heights;
    for (std::size_t i = 0; i < group.rows.size(); ++i) {
      draw_row(group.rows[i], places[i]);
      heights.push_back(ImPlot::PlotToPixels(0.0, places[i]).y);
    }
    ImPlot::PopPlotClipRect();
    ImPlot::EndPlot();
    for (std::size_t i = 0; i < group.rows.size(); ++i)
      draw_detail(group.rows[i], {origin.x + width + 4.0f, heights[i]}, origin.x);
  }

  static void draw_row(const Estimate& row, double place) {
    ImDrawList* list = ImPlot::GetPlotDrawList();
    const ImU32 color = color_of(row.verdict);
    if (row.null_value) {
      const ImVec2 top = ImPlot::PlotToPixels(*row.null_value, place + 0.5),
                   bottom = ImPlot::PlotToPixels(*row.null_value, place - 0.5);
      list->AddLine(top, bottom, IM_COL32(220, 220, 225, 140), 1.5f);
    }
    if (!std::isfinite(row.value)) return;
    const ImPlotRect seen = ImPlot::GetPlotLimits();
    const ImVec2 at = ImPlot::PlotToPixels(row.value, place);
    // An interval without an end runs out of the picture, without a cap.
    const ImVec2 from = ImPlot::PlotToPixels(std::isfinite(row.low) ? row.low : seen.X.Min, place);
    const ImVec2 to = ImPlot::PlotToPixels(std::isfinite(row.high) ? row.high : seen.X.Max, place);
    list->AddLine(from, to, color, std::isfinite(row.low) && std::isfinite(row.high) ? 3.0f : 1.0f);
    if (std::isfinite(row.low)) list->AddLine({from.x, from.y - 5}, {from.x, from.y + 5}, color, 2.0f);
    if (std::isfinite(row.high)) list->AddLine({to.x, to.y - 5}, {to.x, to.y + 5}, color, 2.0f);
    list->AddCircleFilled(at, 5.0f, color);
    if (!row.control) return;
    const ImVec2 middle = ImPlot::PlotToPixels(*row.control, place);
    list->AddQuad({middle.x, middle.y - 7}, {middle.x + 7, middle.y}, {middle.x, middle.y + 7},
                  {middle.x - 7, middle.y}, IM_COL32(235, 235, 240, 255), 1.5f);
  }

  /// The numbers beside a row; over the row, all that is known of them.
  static void draw_detail(const Estimate& row, ImVec2 at, float left) {
    const float half = ImGui::GetTextLineHeight() / 2;
    ImGui::GetWindowDrawList()->AddText({at.x, at.y - half}, color_of(row.verdict), detail_of(row).c_str());
    const ImVec2 end{ImGui::GetWindowPos().x + ImGui::GetWindowSize().x, at.y + half};
    if (!ImGui::IsWindowHovered() || !ImGui::IsMouseHoveringRect({left, at.y - half}, end)) return;
    ImGui::BeginTooltip();
    ImGui::TextUnformatted(row.name.c_str());
    ImGui::Text("%s, level %.0f%%, resampled: %s", row.method.empty() ? "no method" : row.method.c_str(),
                100 * row.level, row.resampled_unit.c_str());
    if (row.control) ImGui::Text("control %.3g", *row.control);
    if (row.margin) ImGui::Text("margin %.3g", *row.margin);
    if (!row.reason.empty()) ImGui::TextUnformatted(row.reason.c_str());
    ImGui::EndTooltip();
  }

  Json study_;
  std::vector<Group> groups_;
};

}  // namespace

const Panel& panel_bias() {
  static const Panel panel{.name = "bias", .title = "Bias", .summary = "a study's estimates with their intervals and verdicts", .place = 70,
                           .shows = [](const Document& document) { return document.kind == DocumentKind::study; },
                           .make = [](const DocumentPointer& document, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<BiasView>(*document); }};
  return panel;
}

}  // namespace vitrine
