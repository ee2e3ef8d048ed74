#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"
#include "probes/head_score.h"
#include "viewer/data/background.h"
#include "viewer/data/recorded_heads.h"
#include "viewer/draw/head_grid.h"
#include "viewer/draw/items.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"

// Every head: as a thumbnail in a grid of layers and heads, in the order of a score, or as a row of a table with all scores.

namespace vitrine {
namespace {

class HeadsView : public PanelView {
 public:
  HeadsView(const DocumentPointer& document, Desk& desk);
  void draw(Desk& desk) override;
  bool busy() const override { return scoring_ || (!table_ && !grid_.complete()); }
  Json state() const override { return Json::object().set("sort", sort_).set("table", table_).set("filter", filter_).set("size", static_cast<double>(size_)); }
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  void take_scores();
  void sort();
  void paint_thumbnails(Desk& desk);
  void draw_controls(Desk& desk);
  void draw_grid(Desk& desk);
  void draw_table(Desk& desk);
  void pick(Desk& desk, std::size_t place);
  FigureTable score_table() const;

  DocumentPointer document_;
  HeadList heads_;
  std::vector<std::size_t> order_;    // places, as they are shown
  std::unique_ptr<Background<std::vector<HeadRow>>> scoring_;
  std::string note_, sort_ = "layer", filter_;
  bool table_ = false;
  float size_ = 0.0f;  // of a thumbnail; 0: as large as there is room

  std::size_t sequence_ = std::numeric_limits<std::size_t>::max();
  HeadGrid grid_;
};

HeadsView::HeadsView(const DocumentPointer& document, Desk&) : document_(document), heads_(heads_of(*document->recording)) {
  sort();
  if (heads_.places.empty() || document->recording->sequences() == 0) return;
  scoring_ = std::make_unique<Background<std::vector<HeadRow>>>(
      [document](Run& run) {
        ThreadPool pool(1);
        return head_table(*document->recording, pool, run);
      },
      wake_window);
}

void HeadsView::restore(const Json& json) {
  if (json["sort"].is_string()) sort_ = json["sort"].string();
  if (json["filter"].is_string()) filter_ = json["filter"].string();
  if (json["table"].is_bool()) table_ = json["table"].boolean();
  if (json["size"].is_number()) size_ = std::clamp(static_cast<float>(json["size"].number()), 0.0f, HeadGrid::largest_thumbnail);
  sort();
}

void HeadsView::take_scores() {
  if (!scoring_ || !scoring_->done()) return;
  if (!scoring_->error().empty()) note_ = scoring_->error();
  if (scoring_->answer()) {
    set_scores(heads_, *scoring_->answer());
    sort();
  }
  scoring_.reset();
}

void HeadsView::sort() { order_ = heads_.order(sort_); }

void HeadsView::pick(Desk& desk, std::size_t place) {
  desk.selection.layer = heads_.places[place].module;
  desk.selection.head = heads_.places[place].head;
  desk.panel_to_show = "attention";
}

void HeadsView::paint_thumbnails(Desk& desk) {
  const Recording& recording = *document_->recording;
  if (sequence_ != desk.selection.sequence) {
    sequence_ = desk.selection.sequence;
    grid_.reset(heads_);
  }
  for (const std::size_t place : order_) {
    if (grid_.has(place)) continue;
    const auto [m, h] = heads_.places[place];
    const Recording::Module& module = recording.modules()[m];
    const unsigned level = HeadGrid::level_for(recording.rows_of(sequence_, module.queries).count, recording.rows_of(sequence_, module.keys).count);
    if (const auto tile = desk.tiles().find({{document_, m, h, sequence_}, level, 0, 0}, Urgency::thumbnail)) grid_.put(heads_, place, *tile);
  }
}

void HeadsView::draw_controls(Desk& desk) {
  const float unit = ImGui::GetFontSize();
  ImGui::SetNextItemWidth(9.0f * unit);
  if (ImGui::BeginCombo("##sort", ("by " + sort_).c_str())) {
    for (std::size_t i = 0; i <= heads_.score_names.size(); ++i) {
      const std::string name = i == 0 ? "layer" : heads_.score_names[i - 1];
      if (ImGui::Selectable(name.c_str(), sort_ == name)) {
        sort_ = name;
        sort();
      }
    }
    ImGui::EndCombo();
  }
  name_item("heads/sort");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(7.0f * unit);
  char text[64] = {};
  filter_.copy(text, sizeof text - 1);
  if (ImGui::InputTextWithHint("##filter", "filter: L5, sink", text, sizeof text)) filter_ = text;
  name_item("heads/filter");
  ImGui::SameLine();
  if (ImGui::Button(table_ ? "grid" : "table")) table_ = !table_;
  name_item("heads/table");
  if (table_) {
    ImGui::SameLine();
    if (ImGui::Button("copy as CSV")) ImGui::SetClipboardText(figure_csv(figure(desk)).c_str());
    name_item("heads/copy");
  }
  if (scoring_) ImGui::TextDisabled("scores are being computed");
  if (!note_.empty()) ImGui::TextWrapped("%s", note_.c_str());
  if (!heads_.scores.empty()) draw_role_legend();
}

void HeadsView::draw_grid(Desk& desk) {
  const ColorScale scale{0.0f, 1.0f, ColorSpread::square_root, desk.map_scale.colors, desk.map_scale.reduction};
  if (const auto clicked = grid_.draw(heads_, {sort_, filter_, desk.selection.layer, desk.selection.head, size_, scale})) pick(desk, *clicked);
}

void HeadsView::draw_table(Desk& desk) {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_Sortable | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingStretchProp;
  if (!ImGui::BeginTable("scores", static_cast<int>(heads_.score_names.size()) + 2, flags)) return;
  ImGui::TableSetupScrollFreeze(1, 1);
  ImGui::TableSetupColumn("head", ImGuiTableColumnFlags_NoSort);
  ImGui::TableSetupColumn("role", ImGuiTableColumnFlags_NoSort);
  for (const std::string& name : heads_.score_names) ImGui::TableSetupColumn(name.c_str(), ImGuiTableColumnFlags_PreferSortDescending);
  ImGui::TableHeadersRow();
  if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty && specs->SpecsCount > 0) {
    sort_ = heads_.score_names[static_cast<std::size_t>(specs->Specs->ColumnIndex - 2)];
    sort();
    if (specs->Specs->SortDirection == ImGuiSortDirection_Ascending) std::ranges::reverse(order_);
    specs->SpecsDirty = false;
  }
  std::vector<std::size_t> shown;
  std::ranges::copy_if(order_, std::back_inserter(shown), [&](std::size_t place) { return heads_.matches(place, filter_); });
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(shown.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const std::size_t place = shown[static_cast<std::size_t>(i)];
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      const bool chosen = desk.selection.layer == heads_.places[place].module && desk.selection.head == heads_.places[place].head;
      if (ImGui::Selectable(heads_.labels[place].c_str(), chosen, ImGuiSelectableFlags_SpanAllColumns)) pick(desk, place);
      name_item("heads/row/" + std::to_string(i));
      ImGui::TableNextColumn();
      if (const HeadRole* role = heads_.role_of(place)) ImGui::TextColored({role->color.red, role->color.green, role->color.blue, 1.0f}, "%s", std::string(role->name).c_str());
      for (std::size_t s = 0; s < heads_.score_names.size(); ++s) {
        ImGui::TableNextColumn();
        std::isnan(heads_.scores[s][place]) ? ImGui::TextDisabled("-") : ImGui::Text("%.4f", heads_.scores[s][place]);
      }
    }
  }
  ImGui::EndTable();
}

std::vector<Action> HeadsView::actions(Desk&) {
  std::vector<Action> actions{{"Heads: grid or table", ImGuiKey_T, [this] { table_ = !table_; }},
                              {"Heads: larger thumbnails", 0, [this] { size_ = std::min(HeadGrid::largest_thumbnail, (size_ > 0.0f ? size_ : 24.0f) * 1.3f); }},
                              {"Heads: as large as there is room", 0, [this] { size_ = 0.0f; }},
                              {"Heads: sort by layer", 0, [this] { sort_ = "layer", sort(); }}};
  for (const std::string& name : heads_.score_names) actions.push_back({"Heads: sort by " + name, 0, [this, name] { sort_ = name, sort(); }});
  return actions;
}

void HeadsView::draw(Desk& desk) {
  if (heads_.places.empty() || document_->recording->sequences() == 0) {
    ImGui::TextWrapped("This recording holds no attention: record with --attention factors.");
    return;
  }
  take_scores();
  draw_controls(desk);
  if (table_) return draw_table(desk);
  paint_thumbnails(desk);
  draw_grid(desk);
}

FigureTable HeadsView::score_table() const {
  FigureTable table{"Heads of " + document_->path.filename().string(), {"module", "layer", "head", "role"}, {}};
  table.header.insert(table.header.end(), heads_.score_names.begin(), heads_.score_names.end());
  for (const std::size_t place : order_) {
    if (!heads_.matches(place, filter_)) continue;
    const Recording::Module& module = document_->recording->modules()[heads_.places[place].module];
    const HeadRole* role = heads_.role_of(place);
    std::vector<std::string>& row = table.rows.emplace_back(std::vector<std::string>{module.name, std::to_string(module.block), std::to_string(heads_.places[place].head), role == nullptr ? "" : std::string(role->name)});
    for (const auto& column : heads_.scores) row.push_back(exact_text(column[place]));
  }
  return table;
}

Figure HeadsView::figure(Desk&) {
  if (heads_.places.empty()) throw Error({document_->path.string(), "attention", "a recording without any", "record with --attention factors"});
  if (scoring_) scoring_->wait();
  take_scores();
  return {.title = "Heads", .notes = {"scores as `vitrine heads` defines them"}, .tables = {score_table()}};
}

}  // namespace

const Panel& panel_heads() {
  static const Panel panel{.name = "heads", .title = "Heads", .summary = "all heads as thumbnails or as a table of scores", .place = 20,
                           .shows = [](const Document& document) { return document.recording != nullptr; },
                           .make = [](const DocumentPointer& document, Desk& desk) -> std::unique_ptr<PanelView> { return std::make_unique<HeadsView>(document, desk); }};
  return panel;
}

}  // namespace vitrine
