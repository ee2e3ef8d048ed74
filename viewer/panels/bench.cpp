#include <imgui.h>
#include <implot.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"
#include "viewer/data/bench_runs.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/forest.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/pickers.h"
#include "viewer/panel.h"

// Benchmarks of all open files: over time where there are several, against each other (peers) where rows are compared with a chosen one.

namespace vitrine {
namespace {

constexpr std::size_t followed_at_first = 6;

enum class Base { none, first_file, chosen_row };
const std::vector<std::string> base_words{"as it is", "of the first file", "of the chosen row"};

std::string in_lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// 1.23 ms, 45.1%, 3.2 G
std::string value_words(const std::string& quantity, double value) {
  char text[48];
  if (std::isnan(value)) return "-";
  if (quantity.ends_with("time")) {
    const double size = std::abs(value);
    const auto [scale, unit] = size < 1e-6 ? std::pair(1e9, "ns") : size < 1e-3 ? std::pair(1e6, "us") : size < 1.0 ? std::pair(1e3, "ms") : std::pair(1.0, "s");
    std::snprintf(text, sizeof text, "%.4g %s", value * scale, unit);
  } else if (quantity.starts_with("of_")) {
    std::snprintf(text, sizeof text, "%.3g%%", 100 * value);
  } else {
    const double size = std::abs(value);
    const auto [scale, unit] = size >= 1e9 ? std::pair(1e-9, " G") : size >= 1e6 ? std::pair(1e-6, " M") : size >= 1e4 ? std::pair(1e-3, " k") : std::pair(1.0, "");
    std::snprintf(text, sizeof text, "%.4g%s", value * scale, unit);
  }
  return text;
}

class BenchView : public PanelView {
 public:
  explicit BenchView(std::vector<BenchRun> runs);
  void draw(Desk& desk) override;
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  void list();
  void choose(std::size_t name);
  BenchSpread spread(std::size_t run, const std::string& name) const;
  BenchSpread shown(std::size_t run, const std::string& name) const;
  std::string words(const BenchSpread& spread) const;
  std::string axis_title() const { return base_ == Base::none ? quantity_ + (quantity_.ends_with("time") ? ", s" : "") : quantity_ + ", 1 = " + (base_ == Base::first_file ? "first file" : chosen_); }
  void draw_files() const;
  void draw_controls();
  void set_date_ticks() const;
  void draw_history(float height);
  void draw_row(std::size_t place, double most);
  void draw_table();

  std::vector<BenchRun> runs_;
  std::vector<std::string> names_, quantities_;  // of all files
  std::vector<std::size_t> listed_;              // places in names_ that pass the filter
  std::string quantity_ = "time", filter_, chosen_;
  Base base_ = Base::none;
  std::set<std::string> followed_;
  bool fit_ = true;
};

BenchView::BenchView(std::vector<BenchRun> runs) : runs_(std::move(runs)) {
  std::set<std::string> seen_names, seen_quantities;
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {  // the newest file's order
    for (const BenchRow& row : run->rows) {
      if (seen_names.insert(row.name).second) names_.push_back(row.name);
      for (const auto& [quantity, ignored] : row.quantities) {
        if (seen_quantities.insert(quantity).second) quantities_.push_back(quantity);
      }
    }
  }
  list();
  for (std::size_t i = 0; i < std::min(listed_.size(), followed_at_first); ++i) followed_.insert(names_[listed_[i]]);
}

/// Every word of the filter must be in the name.
void BenchView::list() {
  listed_.clear();
  const std::string filter = in_lower_case(filter_);
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::string name = in_lower_case(names_[i]);
    bool wanted = true;
    for (std::string_view rest = filter; wanted && !rest.empty();) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
      wanted = name.find(word) != std::string::npos;
    }
    if (wanted) listed_.push_back(i);
  }
  fit_ = true;
}

Json BenchView::state() const {
  Json followed = Json::array();
  for (const std::string& name : followed_) followed.push(name);
  return Json::object().set("quantity", quantity_).set("filter", filter_).set("base", base_words[static_cast<std::size_t>(base_)]).set("chosen", chosen_).set("followed", followed);
}

void BenchView::restore(const Json& json) {
  if (json["quantity"].is_string() && std::ranges::find(quantities_, json["quantity"].string()) != quantities_.end()) quantity_ = json["quantity"].string();
  if (json["filter"].is_string()) filter_ = json["filter"].string();
  if (json["chosen"].is_string()) chosen_ = json["chosen"].string();
  if (json["base"].is_string()) {
    const auto base = std::ranges::find(base_words, json["base"].string());
    if (base != base_words.end()) base_ = static_cast<Base>(base - base_words.begin());
  }
  if (json["followed"].is_array()) {
    followed_.clear();
    for (const Json& each : json["followed"].items()) {
      if (each.is_string() && std::ranges::find(names_, each.string()) != names_.end()) followed_.insert(each.string());
    }
  }
  list();
}

std::vector<Action> BenchView::actions(Desk&) {
  return {{"Bench: whole picture", ImGuiKey_F, [this] { fit_ = true; }},
          {"Bench: follow no row", ImGuiKey_Escape, [this] { followed_.clear(); }},
          {"Bench: relative to the first file or not", ImGuiKey_R, [this] { base_ = base_ == Base::first_file ? Base::none : Base::first_file, fit_ = true; }}};
}

void BenchView::choose(std::size_t name) {
  chosen_ = names_[name];
  if (!followed_.erase(chosen_)) followed_.insert(chosen_);
  fit_ = true;
}

BenchSpread BenchView::spread(std::size_t run, const std::string& name) const {
  const BenchRow* row = runs_[run].row(name);
  const BenchSpread* found = row == nullptr ? nullptr : row->quantity(quantity_);
  return found == nullptr ? BenchSpread() : *found;
}

/// As it is, or as a multiple of the base's median.
BenchSpread BenchView::shown(std::size_t run, const std::string& name) const {
  BenchSpread value = spread(run, name);
  if (base_ == Base::none) return value;
  const double base = base_ == Base::first_file ? spread(0, name).median : spread(run, chosen_).median;
  if (std::isnan(base) || base == 0.0) return {};
  value.median /= base, value.low /= base, value.high /= base;
  return value;
}

std::string BenchView::words(const BenchSpread& spread) const {
  if (spread.count == 0) return "-";
  char ratio[64];
  if (base_ != Base::none) {
    std::snprintf(ratio, sizeof ratio, spread.count > 1 ? "%.3f [%.3f, %.3f]" : "%.3f", spread.median, spread.low, spread.high);
    return ratio;
  }
  const std::string median = value_words(quantity_, spread.median);
  return spread.count == 1 ? median : median + " [" + value_words(quantity_, spread.low) + ", " + value_words(quantity_, spread.high) + "]";
}

void BenchView::draw_files() const {
  std::string machines = runs_.empty() ? "" : runs_[0].machine;
  for (const BenchRun& run : runs_) {
    if (run.machine != runs_[0].machine) machines = "The files come from different machines or settings: their ratios compare these too.";
  }
  if (runs_.size() == 1) ImGui::TextWrapped("%s   %s", drawable(runs_[0].file).c_str(), drawable(runs_[0].date).c_str());
  else ImGui::TextWrapped("%zu files, from %s (%s) to %s (%s)", runs_.size(), drawable(runs_.front().file).c_str(), drawable(runs_.front().date).c_str(), drawable(runs_.back().file).c_str(), drawable(runs_.back().date).c_str());
  ImGui::PushStyleColor(ImGuiCol_Text, faint_ink());
  ImGui::TextWrapped("%s", drawable(machines).c_str());
  ImGui::PopStyleColor();
}

void BenchView::draw_controls() {
  ImGui::SetNextItemWidth(14.0f * ImGui::GetFontSize());
  if (ImGui::InputTextWithHint("##filter", "filter: flash causal_512", &filter_)) list();
  name_item("bench/filter");
  ImGui::SameLine();
  if (pick_word("##quantity", "bench/quantity", quantity_, quantities_, 9.0f)) fit_ = true;
  ImGui::SameLine();
  std::size_t base = static_cast<std::size_t>(base_);
  if (pick_place("##base", "bench/base", base, base_words, 10.0f)) base_ = static_cast<Base>(base), fit_ = true;
  ImGui::SameLine();
  ImGui::TextDisabled("%zu of %zu rows, medians [smallest, largest] of repetitions", listed_.size(), names_.size());
}

/// As many dates as there is room for.
void BenchView::set_date_ticks() const {
  std::vector<double> places;
  std::vector<std::string> labels;
  std::vector<const char*> pointers;
  const auto room = std::max<std::size_t>(1, static_cast<std::size_t>(ImGui::GetWindowWidth() / (12.0f * ImGui::GetFontSize())));
  for (std::size_t r = 0; r < runs_.size(); r += std::max<std::size_t>(1, runs_.size() / room)) {
    places.push_back(static_cast<double>(r));
    labels.push_back(runs_[r].date.size() >= 19 ? runs_[r].date.substr(0, 10) + " " + runs_[r].date.substr(11, 8) : drawable(runs_[r].file));
  }
  for (const std::string& label : labels) pointers.push_back(label.c_str());
  ImPlot::SetupAxisTicks(ImAxis_X1, places.data(), static_cast<int>(places.size()), pointers.data());
}

/// The rows that were chosen, file by file.
void BenchView::draw_history(float height) {
  ImPlot::PushStyleColor(ImPlotCol_FrameBg, ImVec4(0, 0, 0, 0));
  if (std::exchange(fit_, false)) ImPlot::SetNextAxisToFit(ImAxis_Y1);
  if (ImPlot::BeginPlot("##history", {-1.0f, height}, ImPlotFlags_NoTitle)) {
    ImPlot::SetupAxes(nullptr, drawable(axis_title()).c_str());
    ImPlot::SetupAxisLimits(ImAxis_X1, -0.4, static_cast<double>(runs_.size()) - 0.6, ImPlotCond_Once);
    set_date_ticks();
    const bool wide = ImGui::GetWindowWidth() > 70.0f * ImGui::GetFontSize();
    ImPlot::SetupLegend(wide ? ImPlotLocation_East : ImPlotLocation_NorthEast, wide ? ImPlotLegendFlags_Outside : ImPlotLegendFlags_None);
    for (const std::string& name : followed_) {
      std::vector<double> xs, ys, below, above;
      for (std::size_t r = 0; r < runs_.size(); ++r) {
        const BenchSpread value = shown(r, name);
        if (value.count == 0) continue;
        xs.push_back(static_cast<double>(r)), ys.push_back(value.median), below.push_back(value.median - value.low), above.push_back(value.high - value.median);
      }
      if (xs.empty()) continue;
      const std::string label = fitted(drawable(name), 18.0f * ImGui::GetFontSize()) + "###" + name;
      ImPlotSpec spec;
      spec.Marker = ImPlotMarker_Auto;
      ImPlot::PlotErrorBars(label.c_str(), xs.data(), ys.data(), below.data(), above.data(), static_cast<int>(xs.size()), ImPlotSpec());
      ImPlot::PlotLine(label.c_str(), xs.data(), ys.data(), static_cast<int>(xs.size()), spec);
    }
    ImPlot::EndPlot();
  }
  ImPlot::PopStyleColor();
}

/// @param most  what fills the bar's cell
void BenchView::draw_row(std::size_t place, double most) {
  const std::string& name = names_[listed_[place]];
  const std::size_t last = runs_.size() - 1;
  const BenchRow* row = runs_[last].row(name);
  ImGui::PushID(static_cast<int>(place));
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  const bool marked = runs_.size() > 1 ? followed_.contains(name) : name == chosen_;
  if (ImGui::Selectable(fitted(drawable(name), ImGui::GetContentRegionAvail().x).c_str(), marked, ImGuiSelectableFlags_SpanAllColumns)) choose(listed_[place]);
  name_item("bench/row/" + std::to_string(place));
  if (row != nullptr && ImGui::IsItemHovered() && !(row->label + row->failure).empty()) ImGui::SetTooltip("%s", drawable(row->label + " " + row->failure).c_str());
  ImGui::TableNextColumn();
  const BenchSpread value = shown(last, name);
  value.count == 0 && row != nullptr && !row->failure.empty() ? ImGui::TextDisabled("%s", drawable(row->failure).c_str()) : ImGui::TextUnformatted(words(value).c_str());
  ImGui::TableNextColumn();
  if (value.count > 0 && most > 0.0) {
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float width = ImGui::GetContentRegionAvail().x - 4.0f, line = ImGui::GetTextLineHeight(), y = at.y + line / 2;
    const auto x = [&](double v) { return at.x + width * static_cast<float>(std::clamp(v / most, 0.0, 1.0)); };
    ImDrawList* list = ImGui::GetWindowDrawList();
    list->AddRectFilled({at.x, at.y + 2.0f}, {x(value.median), at.y + line - 2.0f}, (verdict_ink(Verdict::equivalent) & 0x00ffffffu) | (name == chosen_ ? 0xd0000000u : 0x80000000u), 2.0f);
    if (value.count > 1) list->AddLine({x(value.low), y}, {x(value.high), y}, ink(), 1.5f);
    for (const double end : value.count > 1 ? std::vector{value.low, value.high} : std::vector<double>()) list->AddLine({x(end), y - 0.25f * line}, {x(end), y + 0.25f * line}, ink(), 1.5f);
  }
  ImGui::TableNextColumn();
  if (runs_.size() > 1) {
    const double first = spread(0, name).median, now = spread(last, name).median;
    std::isnan(now / first) || first == 0.0 ? ImGui::TextDisabled("-") : ImGui::Text("%.3f", now / first);
    ImGui::TableNextColumn();
  }
  if (const auto share = row == nullptr ? std::nullopt : row->share_of_machine()) ImGui::Text("%.3g%% of %s", 100 * share->first, share->second.c_str());
  ImGui::PopID();
}

void BenchView::draw_table() {
  double most = 0.0;
  for (const std::size_t name : listed_) {
    const BenchSpread value = shown(runs_.size() - 1, names_[name]);
    if (value.count > 0) most = std::max(most, value.high);
  }
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingStretchProp;
  if (!ImGui::BeginTable("rows", runs_.size() > 1 ? 5 : 4, flags)) return;
  ImGui::TableSetupScrollFreeze(1, 1);
  ImGui::TableSetupColumn("row (click: follow it, compare with it)", ImGuiTableColumnFlags_WidthStretch, 3.2f);
  ImGui::TableSetupColumn(drawable(axis_title() + (runs_.size() > 1 ? ", newest file" : "")).c_str(), ImGuiTableColumnFlags_WidthStretch, 2.4f);
  ImGui::TableSetupColumn("##bar", ImGuiTableColumnFlags_WidthStretch, 2.0f);
  if (runs_.size() > 1) ImGui::TableSetupColumn("newest / first", ImGuiTableColumnFlags_WidthStretch, 1.0f);
  ImGui::TableSetupColumn("of the machine", ImGuiTableColumnFlags_WidthStretch, 1.3f);
  ImGui::TableHeadersRow();
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(listed_.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) draw_row(static_cast<std::size_t>(i), most);
  }
  ImGui::EndTable();
}

void BenchView::draw(Desk&) {
  if (names_.empty()) return ImGui::TextWrapped("These files hold no rows.");
  draw_files();
  draw_controls();
  if (base_ == Base::chosen_row && chosen_.empty()) ImGui::TextDisabled("Click the row that others are compared with.");
  if (runs_.size() > 1) draw_history(std::max(160.0f, ImGui::GetContentRegionAvail().y * 0.45f));
  draw_table();
}

Figure BenchView::figure(Desk&) {
  if (names_.empty()) throw Error({"bench", "rows", "files without any", ""});
  Figure figure{.title = "Benchmarks: " + axis_title(), .notes = {"medians, smallest and largest of the repetitions"}};
  FigureTable table{axis_title(), {"row", "file", "date", "median", "smallest", "largest", "repetitions"}, {}};
  for (const std::size_t name : listed_) {
    FigurePoints history{.title = names_[name], .x_axis = "file, oldest first", .y_axis = axis_title()};
    for (std::size_t r = 0; r < runs_.size(); ++r) {
      const BenchSpread value = shown(r, names_[name]);
      if (value.count == 0) continue;
      table.rows.push_back({names_[name], runs_[r].file, runs_[r].date, exact_text(value.median), exact_text(value.low), exact_text(value.high), std::to_string(value.count)});
      const auto x = static_cast<double>(r);
      history.line.push_back(history.points.size());
      history.points.push_back({runs_[r].date.empty() ? runs_[r].file : runs_[r].date, x, value.median, x, x, value.low, value.high, false});
    }
    if (runs_.size() > 1 && followed_.contains(names_[name]) && !history.points.empty()) figure.points.push_back(std::move(history));
  }
  figure.tables.push_back(std::move(table));
  return figure;
}

}  // namespace

const Panel& panel_bench() {
  static const Panel panel{.name = "bench", .title = "Bench", .summary = "benchmarks over time and against peers, with their spread", .place = 90,
                           .shows = [](const Document& document) { return document.kind == DocumentKind::benchmark; },
                           .make = [](const DocumentPointer&, Desk& desk) -> std::unique_ptr<PanelView> { return std::make_unique<BenchView>(read_benches(desk.documents())); }};
  return panel;
}

}  // namespace vitrine
