#include <imgui.h>
#include <implot.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "viewer/data/tradeoff_table.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/forest.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/pickers.h"
#include "viewer/panel.h"

// Any two columns of a trade-off study against each other: points with their intervals, those that no other one beats, and the whole table.

namespace vitrine {
namespace {

constexpr double widest_range = 1e3;  // of a column that begins on a linear axis
constexpr float reach = 12.0f;  // pixels around a point in which a click means it

std::string cell_text(const TradeoffCell& cell) {
  char text[96] = "-";
  if (std::isnan(cell.value)) return text;
  const bool interval = cell.low != cell.value || cell.high != cell.value;
  interval ? std::snprintf(text, sizeof text, "%.6g [%.6g, %.6g]", cell.value, cell.low, cell.high) : std::snprintf(text, sizeof text, "%.6g", cell.value);
  return text;
}

const char* direction_word(Direction direction) { return direction == Direction::higher ? "higher" : direction == Direction::lower ? "lower" : "nearer to 0"; }

class TradeoffsView : public PanelView {
 public:
  explicit TradeoffsView(const DocumentPointer& document);
  void draw(Desk& desk) override;
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  struct Axis {
    std::size_t column = 0;
    Direction direction = Direction::lower;  ///< what is better
    bool logarithmic = false;
  };
  const TradeoffCell& cell(const Axis& axis, std::size_t variant) const { return table_.columns[axis.column].cells[variant]; }
  bool drawn_on(const Axis& axis, std::size_t variant) const;
  bool drawn(std::size_t variant) const { return drawn_on(x_, variant) && drawn_on(y_, variant) && (controls_ || !table_.controls[variant]); }
  std::string axis_title(const Axis& axis) const;
  std::pair<double, double> range_of(const Axis& axis) const;
  void choose_column(Axis& axis, std::size_t column);
  void edit_axis(const char* name, Axis& axis);
  void find_front();
  void fit() { fit_ = true; }
  void draw_plot(float height);
  void draw_points();
  void draw_point(std::size_t variant) const;
  void draw_interval(std::size_t variant, ImU32 color) const;
  void tooltip(std::size_t variant) const;
  void draw_undrawn() const;
  void draw_table();
  bool in_front(std::size_t variant) const { return std::ranges::find(front_, variant) != front_.end(); }

  DocumentPointer document_;
  TradeoffTable table_;
  std::vector<std::string> names_;  // of the columns
  Axis x_, y_;
  bool controls_ = true, fit_ = true;
  std::vector<std::size_t> front_, order_;  // order: of the table's rows
  std::optional<std::size_t> chosen_;
};

TradeoffsView::TradeoffsView(const DocumentPointer& document) : document_(document), table_(read_tradeoffs(*document)) {
  for (const TradeoffColumn& column : table_.columns) names_.push_back(column.name + (column.unit.empty() ? "" : " (estimate, " + column.unit + ")"));
  order_.resize(table_.variants.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (table_.columns.empty()) return;
  const auto named = [&](const char* words, std::size_t otherwise) {
    const auto found = std::ranges::find_if(names_, [&](const std::string& name) { return name.find(words) != std::string::npos; });
    return found == names_.end() ? std::min(otherwise, names_.size() - 1) : static_cast<std::size_t>(found - names_.begin());
  };
  choose_column(x_, named("decode tok/s", 0));
  choose_column(y_, named("KL to the reference", 1));
}

bool TradeoffsView::drawn_on(const Axis& axis, std::size_t variant) const {
  const double value = cell(axis, variant).value;
  return std::isfinite(value) && (!axis.logarithmic || value > 0.0);
}

void TradeoffsView::choose_column(Axis& axis, std::size_t column) {
  axis.column = column;
  axis.direction = table_.columns[column].direction;
  double low = INFINITY, high = 0.0;
  for (const TradeoffCell& each : table_.columns[column].cells) {
    if (each.value > 0.0 && std::isfinite(each.value)) low = std::min(low, each.value), high = std::max(high, each.value);
  }
  axis.logarithmic = high > widest_range * low;
  find_front();
  fit();
}

void TradeoffsView::find_front() { front_ = pareto_front(table_, {x_.column, y_.column, x_.direction, y_.direction}); }

Json TradeoffsView::state() const {
  const auto axis = [&](const Axis& each) {
    return Json::object().set("column", each.column < names_.size() ? names_[each.column] : "").set("better", direction_word(each.direction)).set("log", each.logarithmic);
  };
  Json json = Json::object().set("x", axis(x_)).set("y", axis(y_)).set("controls", controls_);
  if (chosen_) json.set("variant", table_.variants[*chosen_]);
  return json;
}

void TradeoffsView::restore(const Json& json) {
  for (const auto& [name, axis] : {std::pair("x", &x_), std::pair("y", &y_)}) {
    const Json& kept = json[name];
    const auto column = kept["column"].is_string() ? std::ranges::find(names_, kept["column"].string()) : names_.end();
    if (column == names_.end()) continue;
    choose_column(*axis, static_cast<std::size_t>(column - names_.begin()));
    for (const Direction direction : {Direction::higher, Direction::lower, Direction::target}) {
      if (kept["better"].is_string() && kept["better"].string() == direction_word(direction)) axis->direction = direction;
    }
    if (kept["log"].is_bool()) axis->logarithmic = kept["log"].boolean();
  }
  if (json["controls"].is_bool()) controls_ = json["controls"].boolean();
  const auto variant = json["variant"].is_string() ? std::ranges::find(table_.variants, json["variant"].string()) : table_.variants.end();
  chosen_ = variant == table_.variants.end() ? std::nullopt : std::optional(static_cast<std::size_t>(variant - table_.variants.begin()));
  if (!table_.columns.empty()) find_front();
}

std::vector<Action> TradeoffsView::actions(Desk&) {
  const auto step = [this](int by) {
    const auto at = chosen_ ? std::ranges::find(order_, *chosen_) : order_.end();
    const auto count = order_.size(), place = at == order_.end() ? (by > 0 ? count - 1 : 0) : static_cast<std::size_t>(at - order_.begin());
    if (count > 0) chosen_ = order_[(place + count + static_cast<std::size_t>(static_cast<std::ptrdiff_t>(by))) % count];
  };
  return {{"Trade-offs: whole picture", ImGuiKey_F, [this] { fit(); }},
          {"Trade-offs: next variant", ImGuiKey_J, [step] { step(1); }},
          {"Trade-offs: previous variant", ImGuiKey_K, [step] { step(-1); }},
          {"Trade-offs: no variant chosen", ImGuiKey_Escape, [this] { chosen_.reset(); }},
          {"Trade-offs: exchange the axes", ImGuiKey_X, [this] { std::swap(x_, y_), find_front(), fit(); }}};
}

void TradeoffsView::edit_axis(const char* name, Axis& axis) {
  const std::string item = std::string("tradeoffs/") + name;
  ImGui::PushID(name);
  ImGui::AlignTextToFramePadding();
  ImGui::TextUnformatted(name);
  ImGui::SameLine();
  std::size_t column = axis.column;
  if (pick_place("##column", item, column, names_, 18.0f)) choose_column(axis, column);
  ImGui::SameLine();
  std::string word = direction_word(axis.direction);
  if (pick_word("is better", item + "/better", word, {"higher", "lower", "nearer to 0"}, 7.0f)) {
    axis.direction = word == "higher" ? Direction::higher : word == "lower" ? Direction::lower : Direction::target;
    find_front();
  }
  ImGui::SameLine();
  if (ImGui::Checkbox("log", &axis.logarithmic)) fit();
  name_item(item + "/log");
  ImGui::PopID();
}

std::string TradeoffsView::axis_title(const Axis& axis) const { return names_[axis.column] + ", " + direction_word(axis.direction) + " is better"; }

void TradeoffsView::draw_interval(std::size_t variant, ImU32 color) const {
  ImDrawList* list = ImPlot::GetPlotDrawList();
  const TradeoffCell &x = cell(x_, variant), &y = cell(y_, variant);
  const ImPlotRect seen = ImPlot::GetPlotLimits();
  const auto inside = [](double value, double low, double high) { return std::isfinite(value) ? std::clamp(value, low, high) : std::isnan(value) ? low : value > 0 ? high : low; };
  if (x.low != x.value || x.high != x.value) {
    list->AddLine(ImPlot::PlotToPixels(inside(x.low, seen.X.Min, seen.X.Max), y.value), ImPlot::PlotToPixels(inside(x.high, seen.X.Min, seen.X.Max), y.value), color, 1.3f);
  }
  if (y.low != y.value || y.high != y.value) {
    list->AddLine(ImPlot::PlotToPixels(x.value, inside(y.low, seen.Y.Min, seen.Y.Max)), ImPlot::PlotToPixels(x.value, inside(y.high, seen.Y.Min, seen.Y.Max)), color, 1.3f);
  }
}

/// A disc on the front, a ring elsewhere; a diamond for controls, a square for the baseline.
void TradeoffsView::draw_point(std::size_t variant) const {
  ImDrawList* list = ImPlot::GetPlotDrawList();
  const ImVec2 at = ImPlot::PlotToPixels(cell(x_, variant).value, cell(y_, variant).value);
  const float radius = 0.36f * ImGui::GetFontSize();
  const bool control = table_.controls[variant], baseline = table_.baseline == variant, front = in_front(variant);
  const ImU32 color = chosen_ == variant ? mark_ink() : control ? faint_ink() : verdict_ink(Verdict::equivalent);
  draw_interval(variant, color);
  if (control) {
    list->AddQuad({at.x, at.y - radius}, {at.x + radius, at.y}, {at.x, at.y + radius}, {at.x - radius, at.y}, color, 1.5f);
  } else if (baseline) {
    front ? list->AddRectFilled({at.x - radius, at.y - radius}, {at.x + radius, at.y + radius}, color) : list->AddRect({at.x - radius, at.y - radius}, {at.x + radius, at.y + radius}, color, 0.0f, 0, 2.0f);
  } else {
    front ? list->AddCircleFilled(at, radius, color) : list->AddCircle(at, radius, color, 0, 2.0f);
  }
  if (chosen_ == variant) list->AddCircle(at, 1.9f * radius, color, 0, 1.5f);
  if (!control || chosen_ == variant) list->AddText({at.x + radius + 2.0f, at.y - ImGui::GetTextLineHeight()}, color, std::to_string(variant + 1).c_str());
  name_rectangle("tradeoffs/point/" + std::to_string(variant), {{at.x - radius, at.y - radius}, {at.x + radius, at.y + radius}});
}

void TradeoffsView::tooltip(std::size_t variant) const {
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(30.0f * ImGui::GetFontSize());
  ImGui::Text("%zu  %s", variant + 1, drawable(table_.variants[variant]).c_str());
  for (const Axis* axis : {&x_, &y_}) ImGui::Text("%s: %s", drawable(names_[axis->column]).c_str(), cell_text(cell(*axis, variant)).c_str());
  if (in_front(variant)) ImGui::TextUnformatted("no other variant beats it in both");
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

void TradeoffsView::draw_points() {
  ImDrawList* list = ImPlot::GetPlotDrawList();
  std::vector<ImVec2> line;
  for (const std::size_t variant : front_) {
    if (drawn(variant)) line.push_back(ImPlot::PlotToPixels(cell(x_, variant).value, cell(y_, variant).value));
  }
  list->AddPolyline(line.data(), static_cast<int>(line.size()), faint_ink(), 0, 1.5f);
  std::optional<std::size_t> nearest;
  float distance = reach;
  const ImVec2 mouse = ImGui::GetMousePos();
  for (std::size_t v = 0; v < table_.variants.size(); ++v) {
    if (!drawn(v)) continue;
    draw_point(v);
    const ImVec2 at = ImPlot::PlotToPixels(cell(x_, v).value, cell(y_, v).value);
    const float away = std::hypot(at.x - mouse.x, at.y - mouse.y);
    if (away < distance) nearest = v, distance = away;
  }
  if (!nearest || !ImPlot::IsPlotHovered()) return;
  tooltip(*nearest);
  if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) chosen_ = nearest;
}

/// All that is drawn on an axis, with its intervals and some room.
std::pair<double, double> TradeoffsView::range_of(const Axis& axis) const {
  double low = INFINITY, high = -INFINITY;
  for (std::size_t v = 0; v < table_.variants.size(); ++v) {
    if (!drawn(v)) continue;
    for (const double value : {cell(axis, v).value, cell(axis, v).low, cell(axis, v).high}) {
      if (std::isfinite(value) && (!axis.logarithmic || value > 0.0)) low = std::min(low, value), high = std::max(high, value);
    }
  }
  if (!(low <= high)) return axis.logarithmic ? std::pair(0.1, 1.0) : std::pair(0.0, 1.0);
  if (axis.logarithmic) {
    const double room = std::max(std::pow(high / low, 0.06), 1.1);
    return {low / room, high * room};
  }
  const double room = std::max(0.06 * (high - low), std::max(std::abs(high), 1e-12) * 1e-3);
  return {low - room, high + room};
}

void TradeoffsView::draw_plot(float height) {
  ImPlot::PushStyleColor(ImPlotCol_FrameBg, ImVec4(0, 0, 0, 0));
  if (std::exchange(fit_, false)) {
    const auto [left, right] = range_of(x_);
    const auto [bottom, top] = range_of(y_);
    ImPlot::SetNextAxesLimits(left, right, bottom, top, ImPlotCond_Always);
  }
  if (ImPlot::BeginPlot("##plot", {-1.0f, height}, ImPlotFlags_NoLegend | ImPlotFlags_NoTitle)) {
    ImPlot::SetupAxes(drawable(axis_title(x_)).c_str(), fitted(drawable(axis_title(y_)), 0.8f * height).c_str());
    if (x_.logarithmic) ImPlot::SetupAxisScale(ImAxis_X1, ImPlotScale_Log10);
    if (y_.logarithmic) ImPlot::SetupAxisScale(ImAxis_Y1, ImPlotScale_Log10);
    ImPlot::PushPlotClipRect();
    draw_points();
    ImPlot::PopPlotClipRect();
    ImPlot::EndPlot();
  }
  ImPlot::PopStyleColor();
}

/// What the picture cannot hold is named.
void TradeoffsView::draw_undrawn() const {
  std::string words;
  for (std::size_t v = 0; v < table_.variants.size(); ++v) {
    if (drawn(v) || (table_.controls[v] && !controls_)) continue;
    const Axis& axis = drawn_on(x_, v) ? y_ : x_;
    const bool undefined = !std::isfinite(cell(axis, v).value);
    words += (words.empty() ? "" : "; ") + std::to_string(v + 1) + (undefined ? " has no " + names_[axis.column] : " is not above 0 in " + names_[axis.column]);
  }
  if (words.empty()) return;
  ImGui::PushStyleColor(ImGuiCol_Text, faint_ink());
  ImGui::TextWrapped("Not drawn: %s.", drawable(words).c_str());
  ImGui::PopStyleColor();
}

void TradeoffsView::draw_table() {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollX | ImGuiTableFlags_ScrollY | ImGuiTableFlags_Sortable | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerV;
  const int columns = static_cast<int>(std::min<std::size_t>(table_.columns.size(), 500));
  if (!ImGui::BeginTable("variants", columns + 2, flags)) return;
  ImGui::TableSetupScrollFreeze(2, 1);
  ImGui::TableSetupColumn("#", ImGuiTableColumnFlags_DefaultSort, 0.0f, 0);
  ImGui::TableSetupColumn("variant", 0, 0.0f, 1);
  for (int c = 0; c < columns; ++c) ImGui::TableSetupColumn(drawable(names_[static_cast<std::size_t>(c)]).c_str(), ImGuiTableColumnFlags_PreferSortDescending, 0.0f, static_cast<ImGuiID>(c + 2));
  ImGui::TableHeadersRow();
  if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty && specs->SpecsCount > 0) {
    const std::size_t by = specs->Specs->ColumnUserID;
    const bool down = specs->Specs->SortDirection == ImGuiSortDirection_Descending;
    std::ranges::sort(order_);
    if (by == 0 && down) std::ranges::reverse(order_);
    if (by == 1) std::ranges::stable_sort(order_, [&](std::size_t a, std::size_t b) { return down ? table_.variants[a] > table_.variants[b] : table_.variants[a] < table_.variants[b]; });
    if (by > 1) {
      const auto key = [&](std::size_t v) { const double value = table_.columns[by - 2].cells[v].value; return std::isnan(value) ? INFINITY : down ? -value : value; };
      std::ranges::stable_sort(order_, {}, key);
    }
    specs->SpecsDirty = false;
  }
  for (const std::size_t v : order_) {
    ImGui::PushID(static_cast<int>(v));
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    if (ImGui::Selectable(std::to_string(v + 1).c_str(), chosen_ == v, ImGuiSelectableFlags_SpanAllColumns)) chosen_ = v;
    name_item("tradeoffs/row/" + std::to_string(v));
    ImGui::TableNextColumn();
    ImGui::Text("%s%s%s", drawable(table_.variants[v]).c_str(), in_front(v) ? "  (front)" : "", table_.baseline == v ? "  (baseline)" : "");
    for (int c = 0; c < columns; ++c) {
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(cell_text(table_.columns[static_cast<std::size_t>(c)].cells[v]).c_str());
    }
    ImGui::PopID();
  }
  ImGui::EndTable();
}

void TradeoffsView::draw(Desk&) {
  if (table_.columns.empty()) return ImGui::TextWrapped("This study's table holds no numbers.");
  ImGui::TextWrapped("%s", document_->json["title"].is_string() ? drawable(document_->json["title"].string()).c_str() : "");
  edit_axis("x", x_);
  if (ImGui::GetContentRegionAvail().x > 75.0f * ImGui::GetFontSize()) ImGui::SameLine(0.0f, 2.0f * ImGui::GetFontSize());
  edit_axis("y", y_);
  if (std::ranges::find(table_.controls, true) != table_.controls.end()) {
    ImGui::SameLine(0.0f, 2.0f * ImGui::GetFontSize());
    if (ImGui::Checkbox("controls", &controls_)) fit();
    name_item("tradeoffs/controls");
  }
  ImGui::PushStyleColor(ImGuiCol_Text, faint_ink());
  ImGui::TextWrapped("disc: no other variant beats it in both; ring: another one does; square: baseline (numeric floor); diamond: control; lines: intervals, of speeds smallest and largest");
  ImGui::PopStyleColor();
  draw_plot(std::max(180.0f, ImGui::GetContentRegionAvail().y * 0.56f));
  draw_undrawn();
  if (!ImGui::BeginTabBar("tables")) return;
  if (ImGui::BeginTabItem("variants")) {
    draw_table();
    ImGui::EndTabItem();
  }
  name_item("tradeoffs/variants");
  const bool estimates = ImGui::BeginTabItem("estimates and verdicts");
  name_item("tradeoffs/estimates");
  if (estimates) {
    draw_forest_legend();
    ImGui::BeginChild("forest");
    if (const auto clicked = draw_forest("tradeoffs/forest", document_->estimates, {})) {
      const auto variant = std::ranges::find_if(table_.variants, [&](const std::string& name) { return document_->estimates[*clicked].name.ends_with(": " + name); });
      if (variant != table_.variants.end()) chosen_ = static_cast<std::size_t>(variant - table_.variants.begin());
    }
    ImGui::EndChild();
    ImGui::EndTabItem();
  }
  ImGui::EndTabBar();
}

Figure TradeoffsView::figure(Desk&) {
  if (table_.columns.empty()) throw Error({document_->path.string(), "columns with numbers", "none", ""});
  Figure figure{.title = document_->json["title"].is_string() ? document_->json["title"].string() : "Trade-offs"};
  FigurePoints points{.title = names_[y_.column] + " against " + names_[x_.column], .x_axis = axis_title(x_), .y_axis = axis_title(y_)};
  if (x_.logarithmic || y_.logarithmic) figure.notes.push_back("the axes are linear here, where the panel's are logarithmic");
  for (std::size_t v = 0; v < table_.variants.size(); ++v) {
    if (!drawn(v)) {
      figure.notes.push_back("not drawn: " + table_.variants[v]);
      continue;
    }
    if (in_front(v)) points.line.push_back(points.points.size());
    const TradeoffCell &x = cell(x_, v), &y = cell(y_, v);
    points.points.push_back({table_.variants[v], x.value, y.value, x.low, x.high, y.low, y.high, in_front(v) || table_.baseline == v});
  }
  std::ranges::stable_sort(points.line, {}, [&](std::size_t at) { return points.points[at].x; });
  FigureTable table{"Variants", {"variant"}, {}};
  table.header.insert(table.header.end(), names_.begin(), names_.end());
  for (const std::size_t v : order_) {
    std::vector<std::string>& row = table.rows.emplace_back(std::vector<std::string>{table_.variants[v]});
    for (const TradeoffColumn& column : table_.columns) row.push_back(cell_text(column.cells[v]));
  }
  figure.points.push_back(std::move(points));
  figure.tables.push_back(std::move(table));
  for (const std::string& unit : units_of(document_->estimates)) {
    FigureEstimates& part = figure.estimates.emplace_back(FigureEstimates{.title = unit});
    std::ranges::copy_if(document_->estimates, std::back_inserter(part.rows), [&](const Estimate& each) { return each.unit == unit; });
  }
  return figure;
}

}  // namespace

const Panel& panel_tradeoffs() {
  static const Panel panel{.name = "tradeoffs", .title = "Trade-offs", .summary = "two columns of a trade-off study against each other, with the Pareto front", .place = 80,
                           .shows = [](const Document& document) { return document.kind == DocumentKind::study && document.json["study"].string() == "tradeoff"; },
                           .make = [](const DocumentPointer& document, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<TradeoffsView>(document); }};
  return panel;
}

}  // namespace vitrine
