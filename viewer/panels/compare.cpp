#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"
#include "probes/head_drift.h"
#include "probes/head_place.h"
#include "probes/pooled_map.h"
#include "viewer/data/background.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/map_canvas.h"
#include "viewer/draw/map_texts.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"

// Two recordings of the same texts, head by head: side by side under one zoom, as their signed difference, or one in the place of the
// other while a key is held; and a table of all heads by how far they drifted.

namespace vitrine {
namespace {

constexpr std::size_t most_differences = 256;  // tiles
constexpr std::size_t most_exported = 512;     // cells on an axis

enum class Mode { side_by_side, difference, one };
constexpr const char* mode_names[] = {"side by side", "difference", "one, hold X for the other"};

class CompareView : public PanelView {
 public:
  CompareView(const DocumentPointer& document, Desk& desk);
  void draw(Desk& desk) override;
  bool busy() const override { return incomplete_ || measuring_; }
  Json state() const override { return Json::object().set("mode", static_cast<int>(mode_)).set("view", canvas_.state()).set("range", static_cast<double>(range_)); }
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  bool load(const Desk& desk);
  std::shared_ptr<const Tile> difference(Desk& desk, const TileId& id, Urgency urgency);
  void draw_controls(Desk& desk);
  void draw_maps(Desk& desk, Corner size);
  void draw_map(Desk& desk, const char* name, const std::string& caption, Corner size, const TilePainter::Source& source, TilePainter& painter, const ColorScale& scale);
  void take_drifts();
  void draw_table(Desk& desk);
  ColorScale difference_scale() const { return {-range_, range_, ColorSpread::linear, ColorMap::diverging, Reduction::largest}; }

  DocumentPointer document_, reference_;
  std::string problem_;  // why nothing can be compared
  std::optional<MapId> map_, reference_map_;
  MapTexts texts_;
  TilePainter painter_, reference_painter_, difference_painter_;
  std::map<TileId, std::shared_ptr<const Tile>> differences_;
  MapCanvas canvas_;
  Mode mode_ = Mode::side_by_side;
  float range_ = 0.1f;
  bool incomplete_ = false;
  std::unique_ptr<Background<std::vector<HeadDrift>>> measuring_;
  std::vector<HeadDrift> drifts_;  // largest first
  std::string note_;
};

CompareView::CompareView(const DocumentPointer& document, Desk& desk) : document_(document), reference_(desk.reference()) {
  if (!reference_ || reference_ == document_) {
    problem_ = "Open a second recording of the same text: the first is shown beside it. A right click on a file chooses which one others are compared with.";
    return;
  }
  problem_ = why_not_comparable(*reference_->recording, *document_->recording);
  if (!problem_.empty()) {
    problem_ = document_->path.filename().string() + " and " + reference_->path.filename().string() + " cannot be compared: " + problem_ + ".";
    return;
  }
  measuring_ = std::make_unique<Background<std::vector<HeadDrift>>>(
      [shown = document_, reference = reference_](Run& run) {
        ThreadPool pool(1);
        return head_drift(*reference->recording, *shown->recording, pool, run);  // as `vitrine analyse head_drift`
      },
      wake_window);
}

void CompareView::restore(const Json& json) {
  canvas_.restore(json["view"]);
  if (json["mode"].is_integer()) mode_ = static_cast<Mode>(std::clamp<std::int64_t>(json["mode"].integer(), 0, 2));
  if (json["range"].is_number()) range_ = std::clamp(static_cast<float>(json["range"].number()), 1e-4f, 1.0f);
}

bool CompareView::load(const Desk& desk) {
  const Selection& selection = desk.selection;
  const MapId wanted{document_, selection.layer, selection.head, selection.sequence};
  if (map_ == wanted) return reference_map_.has_value();
  map_ = wanted;
  reference_map_.reset();
  differences_.clear();
  difference_painter_.clear();
  const Recording::Module& module = document_->recording->modules()[selection.layer];
  const auto others = reference_->recording->modules();
  const auto twin = std::ranges::find_if(others, [&](const Recording::Module& each) { return each.name == module.name && each.heads == module.heads; });
  if (twin == others.end()) return false;
  reference_map_ = MapId{reference_, static_cast<std::size_t>(twin - others.begin()), selection.head, selection.sequence};
  texts_.load(*document_, selection.sequence, selection.layer);
  return true;
}

/// Shown minus reference. Where only one of both is masked, its weight is 0.
Tile difference_of(const Tile& shown, const Tile& reference) {
  Tile result = shown;
  const auto subtract = [](std::vector<float>& from, const std::vector<float>& what) {
    for (std::size_t i = 0; i < from.size() && i < what.size(); ++i) {
      if (std::isnan(from[i]) && std::isnan(what[i])) continue;
      from[i] = (std::isnan(from[i]) ? 0.0f : from[i]) - (std::isnan(what[i]) ? 0.0f : what[i]);
    }
  };
  subtract(result.largest, reference.largest);
  subtract(result.mean, reference.mean);
  return result;
}

std::shared_ptr<const Tile> CompareView::difference(Desk& desk, const TileId& id, Urgency urgency) {
  if (const auto found = differences_.find(id); found != differences_.end()) return found->second;
  TileId other = id;
  other.map = *reference_map_;
  const auto shown = desk.tiles().find(id, urgency), reference = desk.tiles().find(other, urgency);
  if (!shown || !reference) return nullptr;
  if (differences_.size() >= most_differences) differences_.clear();
  return differences_[id] = std::make_shared<const Tile>(difference_of(*shown, *reference));
}

std::vector<Action> CompareView::actions(Desk& desk) {
  std::vector<Action> actions;
  for (int i = 0; i < 3; ++i) actions.push_back({std::string("Compare: ") + mode_names[i], static_cast<int>(ImGuiKey_1) + i, [this, i] { mode_ = static_cast<Mode>(i); }});
  actions.push_back({"Compare: whole map", ImGuiKey_F, [this] { canvas_.fit(); }});
  actions.push_back({"Compare: exchange shown and reference", 0, [this, &desk] {
                       const DocumentPointer shown = document_, reference = reference_;
                       if (!reference) return;
                       desk.show(reference);
                       desk.set_reference(shown);
                     }});
  return actions;
}

void CompareView::draw_controls(Desk& desk) {
  for (int i = 0; i < 3; ++i) {
    if (ImGui::RadioButton(mode_names[i], static_cast<int>(mode_) == i)) mode_ = static_cast<Mode>(i);
    name_item("compare/mode/" + std::to_string(i));
    ImGui::SameLine();
  }
  if (mode_ == Mode::difference) {
    ImGui::SetNextItemWidth(8.0f * ImGui::GetFontSize());
    ImGui::DragFloat("##range", &range_, 0.002f, 1e-4f, 1.0f, "colours to \u00b1%.4g", ImGuiSliderFlags_AlwaysClamp | ImGuiSliderFlags_Logarithmic);
    name_item("compare/range");
    ImGui::SameLine();
    ImGui::TextDisabled("of cells' largest weights; blue: less than the reference");
  } else {
    edit_color_scale(desk.map_scale);
    ImGui::NewLine();
  }
}

void CompareView::draw_map(Desk& desk, const char* name, const std::string& caption, Corner size, const TilePainter::Source& source, TilePainter& painter, const ColorScale& scale) {
  ImGui::BeginChild(name, {size.x, size.y}, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
  ImGui::TextColored(ImGui::ColorConvertU32ToFloat4(mark_ink()), "%s", caption.c_str());
  const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
  const float bar = color_bar_width();
  const auto paint = [&](const Rectangle& area) {
    const auto drawn = painter.draw({*map_, texts_.query_labels.size(), texts_.key_labels.size(), canvas_.porthole(), area.from, area.to, scale}, source);
    incomplete_ |= !drawn.complete;
  };
  const MapCanvas::Answer answer = canvas_.draw(std::string("compare/") + name, {room.x - bar - 8.0f, room.y - 2.0f}, {&texts_.query_labels, &texts_.key_labels}, {desk.selection.query, desk.selection.key}, paint);
  if (answer.clicked) desk.selection.query = answer.clicked->first, desk.selection.key = answer.clicked->second;
  if (answer.hovered) ImGui::SetTooltip("query %zu  %s\nkey %zu  %s", answer.hovered->first, texts_.query_labels[answer.hovered->first].c_str(), answer.hovered->second, texts_.key_labels[answer.hovered->second].c_str());
  draw_color_bar({origin.x + room.x - bar, origin.y}, std::min(room.y, 16.0f * ImGui::GetTextLineHeight()), scale, {scale.colors == ColorMap::diverging ? "difference" : "weight"});
  ImGui::EndChild();
}

void CompareView::draw_maps(Desk& desk, Corner size) {
  const TilePainter::Source shown = [&](const TileId& id, Urgency urgency) { return desk.tiles().find(id, urgency); };
  const TilePainter::Source reference = [&](const TileId& id, Urgency urgency) {
    TileId other = id;
    other.map = *reference_map_;
    return desk.tiles().find(other, urgency);
  };
  const std::string own = document_->path.filename().string(), others = reference_->path.filename().string() + " (reference)";
  incomplete_ = false;
  if (mode_ == Mode::difference) {
    draw_map(desk, "difference", own + " minus " + others, size, [&](const TileId& id, Urgency urgency) { return difference(desk, id, urgency); }, difference_painter_, difference_scale());
  } else if (mode_ == Mode::one) {
    const bool flipped = ImGui::IsKeyDown(ImGuiKey_X) && !ImGui::GetIO().WantTextInput;
    draw_map(desk, "one", flipped ? others : own, size, flipped ? reference : shown, flipped ? reference_painter_ : painter_, desk.map_scale);
  } else {
    const Corner half{(size.x - 8.0f) / 2, size.y};
    draw_map(desk, "shown", own, half, shown, painter_, desk.map_scale);
    ImGui::SameLine();
    draw_map(desk, "reference", others, half, reference, reference_painter_, desk.map_scale);
  }
}

/// Largest first.
void CompareView::take_drifts() {
  if (!measuring_ || !measuring_->done()) return;
  note_ = measuring_->error();
  if (measuring_->answer()) drifts_ = *measuring_->answer();
  std::ranges::stable_sort(drifts_, std::greater<>(), [](const HeadDrift& each) { return std::isnan(each.divergence.value) ? -1.0 : each.divergence.value; });
  measuring_.reset();
}

void CompareView::draw_table(Desk& desk) {
  take_drifts();
  ImGui::TextUnformatted("Heads by drift");
  ImGui::SetItemTooltip("mean Jensen-Shannon divergence of up to 256 attention rows of each text, in bits (0: the same, 1: other keys altogether).\n%s",
                        document_->recording->sequences() > 1 ? "Intervals resample texts." : "One text: intervals resample stretches of 32 rows and say nothing about other texts.");
  if (measuring_) ImGui::TextDisabled("being measured");
  if (!note_.empty()) ImGui::TextWrapped("%s", note_.c_str());
  if (!ImGui::BeginTable("drift", 3, ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingStretchProp)) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  for (const char* name : {"head", "bits", "interval"}) ImGui::TableSetupColumn(name);
  ImGui::TableHeadersRow();
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(drifts_.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const HeadDrift& each = drifts_[static_cast<std::size_t>(i)];
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      const std::string label = head_label(each.block, each.head) + "##" + std::to_string(i);
      if (ImGui::Selectable(label.c_str(), desk.selection.layer == each.place && desk.selection.head == each.head, ImGuiSelectableFlags_SpanAllColumns)) {
        desk.selection.layer = each.place;
        desk.selection.head = each.head;
      }
      name_item("compare/row/" + std::to_string(i));
      ImGui::TableNextColumn();
      std::isfinite(each.divergence.value) ? ImGui::Text("%.4g", each.divergence.value) : ImGui::TextDisabled("-");
      if (!std::isfinite(each.divergence.value)) ImGui::SetItemTooltip("%s", each.divergence.reason.c_str());
      ImGui::TableNextColumn();
      std::isfinite(each.divergence.low) && std::isfinite(each.divergence.high) ? ImGui::TextDisabled("%.2g to %.2g", each.divergence.low, each.divergence.high) : ImGui::TextDisabled("none");
    }
  }
  ImGui::EndTable();
}

void CompareView::draw(Desk& desk) {
  incomplete_ = false;
  if (!problem_.empty()) {
    ImGui::TextWrapped("%s", problem_.c_str());
    return;
  }
  if (!load(desk)) {
    ImGui::TextWrapped("The reference has no such module.");
    return;
  }
  ImGui::TextDisabled("%s, head %zu", document_->recording->modules()[desk.selection.layer].name.c_str(), desk.selection.head);
  draw_controls(desk);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float table = std::min(15.0f * ImGui::GetFontSize(), room.x * 0.3f);
  ImGui::BeginChild("maps", {room.x - table - 8.0f, room.y});
  draw_maps(desk, {room.x - table - 8.0f, room.y});
  ImGui::EndChild();
  ImGui::SameLine();
  ImGui::BeginChild("table", {table, room.y});
  draw_table(desk);
  ImGui::EndChild();
}

Figure CompareView::figure(Desk& desk) {
  if (!problem_.empty() || !load(desk)) throw Error({document_->path.string(), "two recordings of the same texts", problem_.empty() ? "no such module in the reference" : problem_, ""});
  const std::size_t queries = texts_.query_labels.size(), keys = texts_.key_labels.size();
  const std::size_t cell = pooled_cell(std::max(queries, keys), most_exported);
  const auto pooled = [&](const MapId& map) {
    const Recording& recording = *map.document->recording;
    return pooled_map(*recording.head(recording.modules()[map.module], map.head, map.sequence), cell);
  };
  const PooledMap own = pooled(*map_), other = pooled(*reference_map_);
  const std::vector<float>&shown = own.largest, &reference = other.largest;
  FigureGrid grid{.title = document_->path.filename().string() + " minus " + reference_->path.filename().string(), .row_axis = "query", .column_axis = "key", .unit = "difference of weights",
                  .rows = own.rows, .columns = own.columns};
  for (std::size_t i = 0; i < shown.size(); ++i) grid.values.push_back(static_cast<double>(shown[i]) - static_cast<double>(reference[i]));
  for (std::size_t r = 0; r < grid.rows; ++r) grid.row_labels.push_back(texts_.query_labels[r * cell]);
  for (std::size_t c = 0; c < grid.columns; ++c) grid.column_labels.push_back(texts_.key_labels[c * cell]);
  grid.colors = ColorMap::diverging;
  grid.low = -static_cast<double>(range_), grid.high = static_cast<double>(range_);
  if (measuring_) measuring_->wait();
  take_drifts();
  FigureTable table{"Divergence of attention from the reference, bits", {"module", "head", "bits", "low", "high", "rows"}, {}};
  for (const HeadDrift& each : drifts_) {
    const auto number = [](double value) { return std::isfinite(value) ? exact_text(value) : std::string(); };
    table.rows.push_back({each.module, std::to_string(each.head), number(each.divergence.value), number(each.divergence.low), number(each.divergence.high), std::to_string(each.divergence.n)});
  }
  return {.title = "Comparison", .notes = {"a cell compares the largest weights of " + std::to_string(cell) + " x " + std::to_string(cell) + " pairs"}, .grids = {std::move(grid)}, .tables = {std::move(table)}};
}

}  // namespace

const Panel& panel_compare() {
  static const Panel panel{.name = "compare", .title = "Compare", .summary = "two recordings: side by side, difference, heads by drift", .place = 50,
                           .shows = [](const Document& document) { return document.recording != nullptr; },
                           .make = [](const DocumentPointer& document, Desk& desk) -> std::unique_ptr<PanelView> { return std::make_unique<CompareView>(document, desk); }};
  return panel;
}

}  // namespace vitrine
