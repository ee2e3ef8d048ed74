#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "probes/pooled_map.h"
#include "viewer/data/head_shelf.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/map_canvas.h"
#include "viewer/draw/map_texts.h"
#include "viewer/panel.h"

// One attention map of any length: tiles from the stored factors as they come into view, zoom, pan, profiles of a row and a column.

namespace vitrine {
namespace {

constexpr std::size_t most_strongest = 14;
constexpr std::size_t most_exported = 1024;  // cells on an axis of an exported map

class AttentionView : public PanelView {
 public:
  explicit AttentionView(const DocumentPointer& document) : document_(document), recording_(*document->recording) {}
  void draw(Desk& desk) override;
  bool busy() const override { return incomplete_; }
  Json state() const override { return Json::object().set("view", canvas_.state()); }
  void restore(const Json& json) override { canvas_.restore(json["view"]); }
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  using Module = Recording::Module;
  const Module& module(const Selection& selection) const { return recording_.modules()[selection.layer]; }
  bool load(const Selection& selection);
  void draw_header(Desk& desk);
  void draw_side(Desk& desk, Corner from, Corner to);
  void draw_profile(const Rectangle& area, const Selection& selection) const;
  void read_row(const Selection& selection);
  void read_column(const Selection& selection);
  void fit_range(ColorScale& scale) const;
  void tooltip(std::size_t query, std::size_t key) const;
  void move_query(Selection& selection, int by);
  float weight(std::size_t query, std::size_t key) const;

  DocumentPointer document_;
  const Recording& recording_;
  MapTexts texts_;

  std::optional<MapId> map_;
  std::shared_ptr<const Recording::Head> head_;
  std::string statistics_;
  TilePainter painter_;
  TilePainter::Drawn drawn_;
  MapCanvas canvas_;
  bool incomplete_ = false;
  std::optional<std::size_t> row_of_, column_of_;
  std::vector<float> row_, column_;                       // weights of the chosen query, and on the chosen key; NaN where masked
  std::vector<std::pair<float, std::size_t>> strongest_;  // of the row: weight and key, largest first
};

/// Returns whether there is a map at all.
bool AttentionView::load(const Selection& selection) {
  if (recording_.modules().empty() || recording_.sequences() == 0) return false;
  texts_.load(*document_, selection.sequence, selection.layer);
  if (texts_.query_labels.empty() || texts_.key_labels.empty()) return false;
  const MapId wanted{document_, selection.layer, selection.head, selection.sequence};
  if (map_ == wanted) return true;
  map_ = wanted;
  row_of_.reset();
  column_of_.reset();
  head_ = recording_.head(module(selection), selection.head, selection.sequence);
  const std::size_t heads = module(selection).heads, tokens = texts_.query_labels.size();
  double means[3] = {};
  const char* names[] = {"entropy", "distance", "first_key"};
  for (std::size_t s = 0; s < 3; ++s) {
    const auto values = recording_.row_statistic(module(selection), names[s], selection.sequence);
    for (std::size_t row = 0; row < tokens; ++row) means[s] += values[row * heads + selection.head] / static_cast<double>(tokens);
  }
  char text[160];
  std::snprintf(text, sizeof text, "means: entropy %.2f nats, distance %.1f tokens, first token %.2f", means[0], means[1], means[2]);
  statistics_ = text;
  return true;
}

float AttentionView::weight(std::size_t query, std::size_t key) const {
  float value = 0.0f;
  pattern_tile(head_->factors, query, key, {&value, {1, 1}});
  return value;
}

void AttentionView::read_row(const Selection& selection) {
  if (row_of_ == selection.query) return;
  row_of_ = selection.query;
  strongest_.clear();
  if (!selection.query) return;
  row_ = row_weights(*head_, *selection.query);
  for (std::size_t key = 0; key < row_.size(); ++key) {
    if (!std::isnan(row_[key])) strongest_.emplace_back(row_[key], key);
  }
  const std::size_t kept = std::min(strongest_.size(), most_strongest);
  std::partial_sort(strongest_.begin(), strongest_.begin() + static_cast<std::ptrdiff_t>(kept), strongest_.end(), std::greater<>());
  strongest_.resize(kept);
}

void AttentionView::read_column(const Selection& selection) {
  if (column_of_ == selection.key) return;
  column_of_ = selection.key;
  if (!selection.key) return;
  column_ = column_weights(*head_, *selection.key);
}

/// So that one weight in a hundred of what is seen is brighter than the scale.
void AttentionView::fit_range(ColorScale& scale) const {
  const std::size_t keys = texts_.key_labels.size(), queries = texts_.query_labels.size();
  const std::size_t cell = pooled_cell(std::max(keys, queries), 512);
  std::vector<float> largest = pooled_map(*head_, cell).largest;
  std::erase_if(largest, [](float each) { return !(each > 0.0f) || !std::isfinite(each); });
  if (largest.empty()) return;
  const auto place = largest.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(largest.size() - 1) * 0.99);
  std::nth_element(largest.begin(), place, largest.end());
  scale.high = std::clamp(*place, 1e-4f, 1.0f);
}

void AttentionView::move_query(Selection& selection, int by) {
  step_query(selection, texts_.query_labels.size(), by);
  if (selection.query) canvas_.show_query(*selection.query);
}

std::vector<Action> AttentionView::actions(Desk& desk) {
  const double seen = 0.1 / std::max(canvas_.porthole().pixels, 1e-9) * 600.0;
  return {{"Attention: whole map", ImGuiKey_F, [this] { canvas_.fit(); }},
          {"Attention: zoom in", ImGuiKey_Equal, [this] { canvas_.zoom(1.5); }},
          {"Attention: zoom out", ImGuiKey_Minus, [this] { canvas_.zoom(1.0 / 1.5); }},
          {"Attention: move left", ImGuiKey_A, [this, seen] { canvas_.pan(-seen, 0.0); }},
          {"Attention: move right", ImGuiKey_D, [this, seen] { canvas_.pan(seen, 0.0); }},
          {"Attention: move up", ImGuiKey_W, [this, seen] { canvas_.pan(0.0, -seen); }},
          {"Attention: move down", ImGuiKey_S, [this, seen] { canvas_.pan(0.0, seen); }},
          {"Attention: next query", ImGuiKey_J, [this, &desk] { move_query(desk.selection, 1); }},
          {"Attention: previous query", ImGuiKey_K, [this, &desk] { move_query(desk.selection, -1); }},
          {"Attention: no token chosen", ImGuiKey_Escape, [&desk] { desk.selection.query.reset(), desk.selection.key.reset(); }},
          {"Attention: largest or mean of a cell", ImGuiKey_M, [&desk] {
             Reduction& reduction = desk.map_scale.reduction;
             reduction = reduction == Reduction::largest ? Reduction::mean : Reduction::largest;
           }},
          {"Attention: colours to the 99th percentile", ImGuiKey_N, [this, &desk] { if (load(desk.selection)) fit_range(desk.map_scale); }},
          {"Attention: colours up to 1", ImGuiKey_R, [&desk] { desk.map_scale.high = 1.0f; }}};
}

void AttentionView::draw_header(Desk& desk) {
  const Selection& selection = desk.selection;
  ImGui::PushStyleColor(ImGuiCol_Text, mark_ink());
  ImGui::Text("%s, head %zu", module(selection).name.c_str(), selection.head);
  ImGui::PopStyleColor();
  ImGui::SameLine();
  const Json& source = recording_.provenance();
  const auto word = [&](const char* name) { return source[name].is_string() ? source[name].string() : std::string("?"); };
  ImGui::TextDisabled("kernel %s, %s   %zu x %zu tokens%s   %s", word("kernel").c_str(), word("precision").c_str(), texts_.query_labels.size(), texts_.key_labels.size(),
                      recording_.finished() ? "" : " (still being written)", statistics_.c_str());
  if (module(selection).codes) ImGui::TextDisabled("rebuilt from factors stored in 8 bits: rows do not sum to 1 to their last digits");
  if (recording_.sequences() > 1) {
    int chosen = static_cast<int>(selection.sequence);
    ImGui::SetNextItemWidth(10.0f * ImGui::GetFontSize());
    if (ImGui::SliderInt("sequence", &chosen, 0, static_cast<int>(recording_.sequences()) - 1, "%d", ImGuiSliderFlags_AlwaysClamp)) {
      desk.selection = {selection.layer, selection.head, static_cast<std::size_t>(chosen), {}, {}};
    }
    same_line_where_room(8.5f * ImGui::GetFontSize());
  }
  edit_color_scale(desk.map_scale);
  same_line_where_room(10.0f * ImGui::GetFontSize());
  if (ImGui::Button("99%")) fit_range(desk.map_scale);
  ImGui::SetItemTooltip("one cell in a hundred is brighter (N); R: up to 1");
  name_item("attention/percentile");
  ImGui::SameLine();
  if (ImGui::Button("whole map")) canvas_.fit();
  name_item("attention/fit");
  same_line_where_room(20.0f * ImGui::GetFontSize());
  const std::size_t cell = std::size_t{1} << drawn_.level;
  const char* reduction = desk.map_scale.reduction == Reduction::largest ? "largest" : "mean";
  cell > 1 ? ImGui::TextDisabled("cell = %s of %zu x %zu pairs%s", reduction, cell, cell, drawn_.complete ? "" : " (coarser for now)")
           : ImGui::TextDisabled("cell = one pair%s", drawn_.complete ? "" : " (coarser for now)");
}

void AttentionView::draw(Desk& desk) {
  Selection& selection = desk.selection;
  if (!load(selection)) {
    ImGui::TextWrapped("This recording holds no attention: record with --attention factors.");
    incomplete_ = false;
    return;
  }
  draw_header(desk);
  const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
  const float side = std::min(color_bar_width() + 8.0f * ImGui::GetFontSize(), room.x * 0.35f), profile = selection.query ? 3.0f * ImGui::GetTextLineHeight() : 0.0f;
  const auto paint = [&](const Rectangle& area) {
    drawn_ = painter_.draw({*map_, texts_.query_labels.size(), texts_.key_labels.size(), canvas_.porthole(), area.from, area.to, desk.map_scale},
                           [&](const TileId& id, Urgency urgency) { return desk.tiles().find(id, urgency); });
    incomplete_ = !drawn_.complete;
    if (drawn_.anything) name_rectangle("attention/seen", area);
  };
  const MapCanvas::Answer answer = canvas_.draw("attention/map", {room.x - side - 12.0f, room.y - profile - 4.0f}, {&texts_.query_labels, &texts_.key_labels}, {selection.query, selection.key}, paint);
  if (answer.clicked) std::tie(selection.query, selection.key) = std::pair(std::optional(answer.clicked->first), std::optional(answer.clicked->second));
  if (answer.hovered) tooltip(answer.hovered->first, answer.hovered->second);
  read_row(selection);
  read_column(selection);
  draw_side(desk, {origin.x + room.x - side, origin.y}, {origin.x + room.x, origin.y + room.y});
  if (selection.query) draw_profile({{answer.area.from.x, answer.area.to.y + 6.0f}, {answer.area.to.x, std::min(answer.area.to.y + profile, origin.y + room.y)}}, selection);
}

void AttentionView::tooltip(std::size_t query, std::size_t key) const {
  ImGui::BeginTooltip();
  ImGui::Text("query %zu   %s", query, texts_.query_labels[query].c_str());
  ImGui::Text("key   %zu   %s", key, texts_.key_labels[key].c_str());
  if (sees(*head_, query, key)) {
    ImGui::Text("weight %.6g", static_cast<double>(weight(query, key)));
  } else {
    ImGui::TextUnformatted("masked: the query cannot see this key");
  }
  ImGui::EndTooltip();
}

/// Colours, and what the chosen tokens read and are read by.
void AttentionView::draw_side(Desk& desk, Corner from, Corner to) {
  const Selection& selection = desk.selection;
  const float line = ImGui::GetTextLineHeight(), bar = std::min(to.y - from.y, 17.0f * line);
  draw_color_bar(from, bar, desk.map_scale, {"weight", "(a row sums to 1)"});
  if (to.y - from.y - bar < 4 * line || !selection.query) return;
  ImGui::SetCursorScreenPos({from.x, from.y + bar + 6.0f});
  ImGui::BeginChild("reads", {to.x - from.x, to.y - from.y - bar - 8.0f});
  ImGui::PushStyleColor(ImGuiCol_Text, mark_ink());
  ImGui::Text("query %zu  %s", *selection.query, texts_.query_labels[*selection.query].c_str());
  ImGui::PopStyleColor();
  ImGui::TextDisabled("reads most:");
  for (const auto& [share, key] : strongest_) {
    char text[160];
    std::snprintf(text, sizeof text, "%.3f %s##%zu", static_cast<double>(share), texts_.key_labels[key].c_str(), key);
    if (ImGui::Selectable(text, selection.key == key)) desk.selection.key = key;
    name_item("attention/reads/" + std::to_string(key));
    ImGui::SetItemTooltip("key %zu", key);
  }
  if (selection.key) {
    double sum = 0.0;
    for (const float each : column_) sum += std::isnan(each) ? 0.0 : static_cast<double>(each);
    ImGui::Separator();
    ImGui::TextWrapped("key %zu %s is read with %.3f by this query, %.2f by all", *selection.key, texts_.key_labels[*selection.key].c_str(), static_cast<double>(weight(*selection.query, *selection.key)), sum);
  }
  ImGui::EndChild();
}

/// The chosen query's weights below the map, key by key; where keys are narrower than a pixel, the largest of them.
void AttentionView::draw_profile(const Rectangle& area, const Selection&) const {
  if (row_.empty() || area.to.y - area.from.y < 8.0f) return;
  ImDrawList* list = ImGui::GetWindowDrawList();
  const Porthole& seen = canvas_.porthole();
  const float height = area.to.y - area.from.y;
  float most = 1e-6f;
  const auto columns = static_cast<std::size_t>(std::max(1.0f, area.to.x - area.from.x));
  std::vector<float> heights(columns, 0.0f);
  for (std::size_t x = 0; x < columns; ++x) {
    const double first = seen.left + static_cast<double>(x) / seen.pixels, last = seen.left + static_cast<double>(x + 1) / seen.pixels;
    for (auto key = static_cast<std::size_t>(std::max(first, 0.0)); key < row_.size() && (static_cast<double>(key) < last || key == static_cast<std::size_t>(first)); ++key) {
      if (!std::isnan(row_[key])) heights[x] = std::max(heights[x], row_[key]);
    }
    most = std::max(most, heights[x]);
  }
  for (std::size_t x = 0; x < columns; ++x) {
    if (heights[x] <= 0.0f) continue;
    const float left = area.from.x + static_cast<float>(x);
    list->AddRectFilled({left, area.to.y - height * heights[x] / most}, {left + 1.0f, area.to.y}, mark_ink());
  }
  char text[32];
  std::snprintf(text, sizeof text, "row, up to %.3g", static_cast<double>(most));
  const float width = ImGui::CalcTextSize(text).x;
  list->AddText({std::max(area.from.x - width - 8.0f, ImGui::GetWindowPos().x + 4.0f), area.from.y}, faint_ink(), text);
}

Figure AttentionView::figure(Desk& desk) {
  const Selection& selection = desk.selection;
  if (!load(selection)) throw Error({document_->path.string(), "attention to draw", "a recording without any", "record with --attention factors"});
  const Porthole& seen = canvas_.porthole();
  const std::size_t queries = texts_.query_labels.size(), keys = texts_.key_labels.size();
  MapPart part{0, queries, 0, keys};
  if (!canvas_.fitted() && seen.pixels > 0.0) {  // what is seen of a map that was zoomed into
    part.row = std::min(queries - 1, static_cast<std::size_t>(seen.top)), part.key = std::min(keys - 1, static_cast<std::size_t>(seen.left));
    part.rows = std::min(queries - part.row, static_cast<std::size_t>(600.0 / seen.pixels) + 1), part.keys = std::min(keys - part.key, static_cast<std::size_t>(900.0 / seen.pixels) + 1);
  }
  const std::size_t cell = pooled_cell(std::max(part.rows, part.keys), most_exported);
  part.row = part.row / cell * cell, part.key = part.key / cell * cell;
  const bool mean = desk.map_scale.reduction == Reduction::mean;
  const PooledMap map = pooled_map(*head_, part, cell);
  FigureGrid grid{.title = module(selection).name + ", head " + std::to_string(selection.head), .row_axis = "query", .column_axis = "key", .unit = "weight", .rows = map.rows, .columns = map.columns};
  grid.values.assign((mean ? map.mean : map.largest).begin(), (mean ? map.mean : map.largest).end());
  const auto label = [&](const std::vector<std::string>& labels, std::size_t at) { return cell > 1 ? std::to_string(at) + " " + labels[at] : labels[at]; };
  for (std::size_t r = 0; r < grid.rows; ++r) grid.row_labels.push_back(label(texts_.queries.labels, part.row + r * cell));
  for (std::size_t c = 0; c < grid.columns; ++c) grid.column_labels.push_back(label(texts_.keys.labels, part.key + c * cell));
  grid.colors = desk.map_scale.colors, grid.spread = desk.map_scale.spread;
  grid.low = desk.map_scale.low, grid.high = desk.map_scale.high;
  Figure figure{.title = "Attention of " + document_->path.filename().string(), .notes = {statistics_}, .grids = {std::move(grid)}};
  if (module(selection).codes) figure.notes.push_back("rebuilt from factors stored in 8 bits: rows do not sum to 1 to their last digits");
  if (cell > 1) figure.notes.push_back("a cell is the " + std::string(mean ? "mean" : "largest") + " of " + std::to_string(cell) + " x " + std::to_string(cell) + " pairs");
  return figure;
}

}  // namespace

const Panel& panel_attention() {
  static const Panel panel{.name = "attention", .title = "Attention map", .summary = "the map of one head at any length: zoom, pan, profiles", .place = 30,
                           .shows = [](const Document& document) { return document.recording != nullptr; },
                           .make = [](const DocumentPointer& document, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<AttentionView>(document); }};
  return panel;
}

}  // namespace vitrine
