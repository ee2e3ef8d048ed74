#include <algorithm>
#include <cmath>
#include <imgui.h>
#include <implot.h>
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
  if (std::isfinite(row.value)) std::snprintf(text, sizeof text, "%.3g  [%.3g, %.3g]  n=%zu", row.value, row.low, row.high, row.n);
  return std::string(text) + "  " + std::string(verdict_name(row.verdict));
}

ImU32 color_of(Verdict verdict) {
  if (verdict == Verdict::differs) return IM_COL32(255, 150, 70, 255);
  if (verdict == Verdict::equivalent || verdict == Verdict::trivial) return IM_COL32(90, 190, 255, 255);
  return IM_COL32(190, 190, 195, 255);
}

class BiasView : public PanelView {
 public:
  explicit BiasView(const Document& document) : study_(document.study) {
    for (const Estimate& each : document.estimates) {
      auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.unit == each.unit; });
      if (group == groups_.end()) group = groups_.insert(groups_.end(), Group{each.unit, {}});
      group->rows.push_back(each);
    }
  }

  void draw(Selection&) override {
    ImGui::Text("Study %s   %s", text_of(study_["study"]).c_str(), text_of(study_["title"]).c_str());
    ImGui::TextDisabled("points with their intervals; the vertical line is the null; colour: orange differs, blue equivalent, grey neither");
    ImGui::Separator();
    std::size_t rows = 0;
    for (const Group& group : groups_) rows += group.rows.size() + 3;
    const float room = ImGui::GetContentRegionAvail().y;
    const float line = std::clamp(room / static_cast<float>(std::max<std::size_t>(rows, 1)), 21.0f, 34.0f);
    ImGui::BeginChild("plots");
    for (const Group& group : groups_) draw_group(group, line);
    ImGui::EndChild();
  }

 private:
  void draw_group(const Group& group, float line) {
    const auto count = static_cast<double>(group.rows.size());
    double low = INFINITY, high = -INFINITY;
    std::vector<double> places;
    std::vector<const char*> names;
    for (std::size_t i = 0; i < group.rows.size(); ++i) {
      const Estimate& row = group.rows[i];
      places.push_back(count - static_cast<double>(i));  // first row on top
      names.push_back(row.name.c_str());
      for (const double each : {row.low, row.high, row.value, row.null_value.value_or(row.value)}) {
        if (std::isfinite(each)) low = std::min(low, each), high = std::max(high, each);
      }
    }
    if (!(low <= high)) low = 0.0, high = 1.0;
    const double span = std::max(high - low, 1e-9);
    const std::string title = (group.unit.empty() ? "estimates" : group.unit) + "##" + group.unit;
    const ImVec2 size{ImGui::GetContentRegionAvail().x, line * static_cast<float>(group.rows.size() + 3)};
    if (!ImPlot::BeginPlot(title.c_str(), size, ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText)) return;
    ImPlot::SetupAxes(nullptr, nullptr, ImPlotAxisFlags_None, ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_NoTickMarks);
    // Room on the right for numbers and verdict.
    ImPlot::SetupAxesLimits(low - 0.04 * span, high + 1.1 * span, 0.3, count + 0.7, ImPlotCond_Once);
    ImPlot::SetupAxisTicks(ImAxis_Y1, places.data(), static_cast<int>(places.size()), names.data());
    ImPlot::PushPlotClipRect();
    for (std::size_t i = 0; i < group.rows.size(); ++i) draw_row(group.rows[i], places[i], high + 0.05 * span);
    ImPlot::PopPlotClipRect();
    ImPlot::EndPlot();
  }

  static void draw_row(const Estimate& row, double place, double text_x) {
    ImDrawList* list = ImPlot::GetPlotDrawList();
    const ImU32 color = color_of(row.verdict);
    if (row.null_value) {
      const ImVec2 top = ImPlot::PlotToPixels(*row.null_value, place + 0.5), bottom = ImPlot::PlotToPixels(*row.null_value, place - 0.5);
      list->AddLine(top, bottom, IM_COL32(220, 220, 225, 140), 1.5f);
    }
    if (std::isfinite(row.value)) {
      const ImVec2 at = ImPlot::PlotToPixels(row.value, place);
      if (std::isfinite(row.low)) {
        const ImVec2 from = ImPlot::PlotToPixels(row.low, place), to = ImPlot::PlotToPixels(row.high, place);
        list->AddLine(from, to, color, 3.0f);
        for (const ImVec2& end : {from, to}) list->AddLine({end.x, end.y - 5}, {end.x, end.y + 5}, color, 2.0f);
      }
      list->AddCircleFilled(at, 5.0f, color);
    }
    const ImVec2 at = ImPlot::PlotToPixels(text_x, place);
    list->AddText({at.x, at.y - ImGui::GetTextLineHeight() / 2}, color, detail_of(row).c_str());
  }

  Json study_;
  std::vector<Group> groups_;
};

}  // namespace

const Panel& panel_bias() {
  static const Panel panel{"bias", "a study's estimates with their intervals and verdicts",
                           [](const Document& document) { return document.study.is_object(); },
                           [](const Document& document) -> std::unique_ptr<PanelView> { return std::make_unique<BiasView>(document); }};
  return panel;
}

}  // namespace vitrine
