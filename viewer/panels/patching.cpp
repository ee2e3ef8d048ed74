#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "viewer/data/sweep_result.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/grid_view.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/panel.h"

// Sweeps of `vitrine patch`: the effect of every cell in both directions; a click shows the runs behind a cell and how to repeat it.

namespace vitrine {
namespace {

class PatchingView : public PanelView {
 public:
  explicit PatchingView(const DocumentPointer& document) : document_(document), sweep_(read_sweep(document->json, document->path.string())) {
    set_views();
  }
  void draw(Desk& desk) override;
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  /// The cell that was clicked.
  struct Chosen {
    std::size_t direction = 0;
    GridView::Cell cell;
  };
  const FigureGrid& grid_of(std::size_t direction) const { return raw_ ? sweep_.directions[direction].raw : sweep_.directions[direction].effect; }
  void set_views();
  void show_raw(bool raw);
  void draw_header(Desk& desk);
  void draw_direction(Desk& desk, std::size_t direction, Corner size);
  void draw_cell(const Chosen& chosen) const;
  void draw_commands(const Chosen& chosen) const;
  void choose(Desk& desk, const Chosen& chosen);

  DocumentPointer document_;
  SweepResult sweep_;
  std::array<GridView, 2> views_;
  bool raw_ = false;
  std::optional<Chosen> chosen_;
};

void PatchingView::set_views() {
  for (std::size_t d = 0; d < sweep_.directions.size(); ++d) views_[d].set(grid_of(d));
}

void PatchingView::show_raw(bool raw) {
  raw_ = raw;
  set_views();
}

Json PatchingView::state() const {
  Json json = Json::object().set("raw", raw_);
  if (chosen_)
    json.set("direction", std::uint64_t{chosen_->direction})
        .set("row", std::uint64_t{chosen_->cell.first})
        .set("column", std::uint64_t{chosen_->cell.second});
  return json;
}

void PatchingView::restore(const Json& json) {
  show_raw(json["raw"].is_bool() && json["raw"].boolean());
  chosen_.reset();
  for (const char* name : {"direction", "row", "column"}) {
    if (!json[name].is_integer() || json[name].integer() < 0) return;
  }
  const Chosen chosen{static_cast<std::size_t>(json["direction"].integer()),
                      {static_cast<std::size_t>(json["row"].integer()), static_cast<std::size_t>(json["column"].integer())}};
  const FigureGrid& grid = sweep_.directions.front().effect;
  if (chosen.direction < sweep_.directions.size() && chosen.cell.first < grid.rows && chosen.cell.second < grid.columns) chosen_ = chosen;
}

void PatchingView::choose(Desk& desk, const Chosen& chosen) {
  chosen_ = chosen;
  const SweptCell cell = swept_cell(sweep_.directions[chosen.direction], chosen.cell.first, chosen.cell.second);
  if (cell.position) desk.selection.query = *cell.position;
  if (cell.head) desk.selection.head = *cell.head;
  const DocumentPointer recording = desk.shown(DocumentKind::recording);
  if (!recording) return;
  const std::vector<Recording::Module> own = own_modules(*recording->recording);
  const auto block = std::ranges::find(own, cell.layer, &Recording::Module::block);
  if (block == own.end()) return;
  const auto modules = recording->recording->modules();
  desk.selection.layer = static_cast<std::size_t>(std::ranges::find(modules, block->name, &Recording::Module::name) - modules.begin());
}

void PatchingView::draw_header(Desk& desk) {
  std::vector<DocumentPointer> sweeps;
  std::ranges::copy_if(desk.documents(), std::back_inserter(sweeps),
                       [](const DocumentPointer& each) { return each->kind == DocumentKind::patching; });
  if (sweeps.size() > 1) {
    ImGui::SetNextItemWidth(14.0f * ImGui::GetFontSize());
    if (ImGui::BeginCombo("##file", document_->path.filename().c_str())) {
      for (const DocumentPointer& each : sweeps) {
        if (ImGui::Selectable(each->path.filename().c_str(), each == document_)) desk.show(each);
        name_item("patching/file/" + each->path.filename().string());
      }
      ImGui::EndCombo();
    }
    name_item("patching/file");
    ImGui::SameLine();
  }
  if (ImGui::RadioButton("effect", !raw_)) show_raw(false);
  ImGui::SetItemTooltip("(patched - corrupt) / (clean - corrupt)");
  name_item("patching/effect");
  ImGui::SameLine();
  if (ImGui::RadioButton("logits", raw_)) show_raw(true);
  ImGui::SetItemTooltip("logit difference with the cell patched, less that of the run as it is");
  name_item("patching/raw");
  ImGui::SameLine();
  ImGui::TextDisabled("%s of %s, %zu pair%s", sweep_.method.c_str(), sweep_.sweep.c_str(), sweep_.pairs, sweep_.pairs == 1 ? "" : "s");
  const auto word = [&](const char* name) { return sweep_.question[name].is_string() ? drawable(sweep_.question[name].string()) : std::string(); };
  if (sweep_.question.has("clean")) {
    ImGui::TextWrapped("clean: \u201c%s\u201d   corrupt: \u201c%s\u201d   answer \u201c%s\u201d against \u201c%s\u201d", word("clean").c_str(),
                       word("corrupt").c_str(), word("answer").c_str(), word("wrong").c_str());
  }
  for (const std::string& note : sweep_.notes) ImGui::TextWrapped("%s", drawable(note).c_str());
}

void PatchingView::draw_direction(Desk& desk, std::size_t direction, Corner size) {
  const SweepDirection& own = sweep_.directions[direction];
  ImGui::BeginChild(direction == 0 ? "first" : "second", {size.x, size.y});
  ImGui::TextWrapped("%s", raw_ ? "0: this cell alone changes nothing" : drawable(own.meaning).c_str());
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const bool own_cell = chosen_ && chosen_->direction == direction;
  const GridView::Answer answer = views_[direction].draw(direction == 0 ? "patching/first" : "patching/second", {room.x, room.y},
                                                         own_cell ? std::optional(chosen_->cell) : std::nullopt);
  if (answer.clicked) choose(desk, {direction, *answer.clicked});
  ImGui::EndChild();
}

void PatchingView::draw_commands(const Chosen& chosen) const {
  const SweepDirection& own = sweep_.directions[chosen.direction];
  const std::vector<std::string> commands = commands_of_cell(sweep_, own, swept_cell(own, chosen.cell.first, chosen.cell.second));
  if (commands.empty()) {
    ImGui::TextDisabled("%s", sweep_.question.is_null() ? "This file does not say what was asked (an older version wrote it)."
                                                        : "No command repeats a single cell of this sweep: repeat it as a whole.");
    return;
  }
  std::string all;
  for (const std::string& command : commands) all += command + "\n";
  if (ImGui::SmallButton("copy")) ImGui::SetClipboardText(all.c_str());
  name_item("patching/copy");
  ImGui::SameLine();
  ImGui::TextDisabled("repeats this cell; the first number less the second is the patched run's:");
  ImGui::TextWrapped("%s", drawable(all).c_str());
}

/// The runs behind a cell, and what was put where.
void PatchingView::draw_cell(const Chosen& chosen) const {
  const SweepDirection& own = sweep_.directions[chosen.direction];
  const auto [row, column] = chosen.cell;
  const std::size_t cell = row * own.effect.columns + column;
  const SweptCell place = swept_cell(own, row, column);
  std::string what = sweep_.sweep + " of layer " + std::to_string(place.layer);
  if (place.head) what += ", head " + std::to_string(*place.head);
  what += place.position ? ", position " + own.effect.column_labels[column].substr(
                                               own.effect.column_axis == "head and position" ? own.effect.column_labels[column].find(' ') + 1 : 0)
                         : ", all positions";
  ImGui::PushStyleColor(ImGuiCol_Text, mark_ink());
  ImGui::TextWrapped("%s", drawable(what).c_str());
  ImGui::PopStyleColor();
  ImGui::TextWrapped("The %s run with this from the %s run:", own.into_corrupt ? "corrupt" : "clean", own.into_corrupt ? "clean" : "corrupt");
  if (ImGui::BeginTable("runs", 2, ImGuiTableFlags_SizingFixedFit)) {
    const auto line = [](const char* name, const std::string& value) {
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::TextDisabled("%s", name);
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(value.c_str());
    };
    line("clean run, logit difference", short_number(own.clean));
    line("corrupt run", short_number(own.corrupt));
    line("patched run", short_number(own.patched(cell)));
    line("moved by", short_number(own.raw.values[cell]) + " logits");
    std::string effect = short_number(own.effect.values[cell]);
    if (!own.low.empty() && std::isfinite(own.low[cell]) && std::isfinite(own.high[cell])) {
      effect += "   [" + short_number(own.low[cell]) + ", " + short_number(own.high[cell]) + "]  " + std::to_string(std::lround(own.level * 100)) +
                "%, " + own.method;
    } else if (!own.low.empty()) {
      effect += "   (no interval)";
    }
    line("effect", effect);
    ImGui::EndTable();
  }
  draw_commands(chosen);
}

void PatchingView::draw(Desk& desk) {
  draw_header(desk);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float line = ImGui::GetTextLineHeightWithSpacing(), detail = std::min(room.y * 0.45f, chosen_ ? 12.0f * line : 1.5f * line),
              gap = ImGui::GetStyle().ItemSpacing.x;
  const float height = room.y - detail - ImGui::GetStyle().ItemSpacing.y;
  const auto count = static_cast<float>(sweep_.directions.size());
  for (std::size_t d = 0; d < sweep_.directions.size(); ++d) {
    if (d > 0) ImGui::SameLine();
    draw_direction(desk, d, {(room.x - gap * (count - 1)) / count, height});
  }
  ImGui::BeginChild("detail", {0, 0});
  if (chosen_) draw_cell(*chosen_);
  else ImGui::TextDisabled("click a cell to see its runs");
  ImGui::EndChild();
}

std::vector<Action> PatchingView::actions(Desk&) {
  return {{"Patching: effects or logits", ImGuiKey_E, [this] { show_raw(!raw_); }},
          {"Patching: no cell chosen", ImGuiKey_Escape, [this] { chosen_.reset(); }}};
}

Figure PatchingView::figure(Desk&) {
  Figure figure{.title = document_->path.filename().string(), .notes = sweep_.notes};
  for (std::size_t d = 0; d < sweep_.directions.size(); ++d) {
    figure.notes.push_back(sweep_.directions[d].name + ": " + sweep_.directions[d].meaning + "; clean " + short_number(sweep_.directions[d].clean) +
                           ", corrupt " + short_number(sweep_.directions[d].corrupt) + " logits");
    figure.grids.push_back(grid_of(d));
    const SweepDirection& own = sweep_.directions[d];
    if (own.low.empty()) continue;
    FigureTable intervals{.title = "intervals, " + own.name, .header = {"layer", own.effect.column_axis, "effect", "low", "high"}};
    for (std::size_t cell = 0; cell < own.low.size(); ++cell) {
      intervals.rows.push_back({std::to_string(cell / own.effect.columns), own.effect.column_labels[cell % own.effect.columns],
                                short_number(own.effect.values[cell]), short_number(own.low[cell]), short_number(own.high[cell])});
    }
    figure.tables.push_back(std::move(intervals));
  }
  return figure;
}

}  // namespace

const Panel& panel_patching() {
  static const Panel panel{
      .name = "patching",
      .title = "Patching",
      .summary = "sweeps of activation patching as heat maps, and the runs behind each cell",
      .place = 65,
      .shows = [](const Document& document) { return document.kind == DocumentKind::patching; },
      .make = [](const DocumentPointer& document, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<PatchingView>(document); }};
  return panel;
}

}  // namespace vitrine
