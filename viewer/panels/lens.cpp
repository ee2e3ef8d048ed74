#include <imgui.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/recorded_layers.h"
#include "probes/row_norms.h"
#include "viewer/data/background.h"
#include "viewer/data/results.h"
#include "viewer/data/tokens.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/grid_view.h"
#include "viewer/draw/items.h"
#include "viewer/draw/surface.h"
#include "viewer/draw/table_view.h"
#include "viewer/panel.h"

// What an analysis found: the likeliest tokens of a lens by layer and position, every grid as a heat map, every table with bars; and how
// long the recorded residual stream is in each layer.

namespace vitrine {
namespace {

constexpr std::string_view tokens_title = "likeliest token after each layer";  // of logit_lens, at the front of its title

enum class PartKind { tokens, grid, table, estimates, norms };
/// Something that can be looked at.
struct Part {
  PartKind kind = PartKind::grid;
  std::size_t place = 0;  ///< among the grids or tables
  std::string title;
};

class LensView : public PanelView {
 public:
  explicit LensView(const Desk& desk);
  void draw(Desk& desk) override;
  bool busy() const override { return norms_job_ != nullptr; }
  Json state() const override {
    return Json::object().set("part", chosen_title_).set("colors", colored_by_).set("spread", static_cast<int>(spread_));
  }
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  void list_parts();
  void choose(std::size_t part);
  void set_view();
  void set_tokens(const ResultTable& table);
  std::vector<std::size_t> grids_like(const ResultTable& table) const;
  void start_norms(std::size_t sequence);
  void take_norms(std::size_t sequence);
  void draw_header(Desk& desk);
  void click(Desk& desk, const GridView::Cell& cell) const;
  std::optional<GridView::Cell> marked(const Desk& desk) const;

  DocumentPointer analysis_, recording_;  // either may be null
  std::vector<FigureGrid> grids_;
  std::vector<ResultTable> tables_;
  std::vector<std::string> notes_;
  std::vector<Part> parts_;
  std::size_t chosen_ = 0;
  std::string chosen_title_, colored_by_;
  ColorSpread spread_ = ColorSpread::linear;
  bool fresh_ = false;  // the view holds the chosen part
  GridView grid_;
  TableView table_;
  std::unique_ptr<Background<FigureGrid>> norms_job_;
  FigureGrid norms_;
  std::optional<std::size_t> norms_of_, norms_wanted_;  // sequence
};

/// [layer, position] of the recorded residual stream in front of each block.
FigureGrid norms_of(const Document& document, std::size_t sequence, Run& run) {
  const Recording& recording = *document.recording;
  FigureGrid grid{.title = "norm of the residual stream in front of each block, " + document.path.filename().string(),
                  .row_axis = "layer",
                  .column_axis = "position",
                  .unit = "L2 norm"};
  const Recording::Rows rows = recording.rows_of(sequence);
  for (const RecordedLayer& layer : recorded_layers(recording, "resid_pre")) {
    grid.row_labels.push_back(layer.label);
    ++grid.rows;
    const std::vector<double> norms = row_norms(recording, *layer.dataset, rows, run);
    grid.values.insert(grid.values.end(), norms.begin(), norms.end());
  }
  grid.columns = rows.count;
  const Tokens tokens = tokens_of(document, sequence);
  for (std::size_t i = 0; i < rows.count; ++i) grid.column_labels.push_back(std::to_string(i) + " " + tokens.labels[i]);
  choose_colors(grid);
  grid.low = 0.0;
  grid.spread = ColorSpread::logarithmic;  // first tokens are often a hundred times as long as all others
  double least = grid.high;
  for (const double value : grid.values) least = value > 0.0 ? std::min(least, value) : least;
  grid.low = least;
  return grid;
}

bool has_norms(const Document& document) {
  return document.recording && document.recording->sequences() > 0 &&
         std::ranges::any_of(document.recording->activations(), [](const Recording::Dataset& each) {
           return each.name.ends_with(".hook_resid_pre") && each.side == Recording::Side::text;
         });
}

LensView::LensView(const Desk& desk) : analysis_(desk.shown(DocumentKind::analysis)), recording_(desk.shown(DocumentKind::recording)) {
  if (recording_ && !has_norms(*recording_)) recording_.reset();
  if (analysis_) {
    grids_ = grids_of(analysis_->json);
    tables_ = tables_of(analysis_->json);
    notes_ = notes_of(analysis_->json);
  }
  list_parts();
}

void LensView::list_parts() {
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    if (tables_[t].title.starts_with(tokens_title) && !tables_[t].rows.empty()) parts_.push_back({PartKind::tokens, t, tables_[t].title});
  }
  for (std::size_t g = 0; g < grids_.size(); ++g) parts_.push_back({PartKind::grid, g, grids_[g].title});
  for (std::size_t t = 0; t < tables_.size(); ++t) parts_.push_back({PartKind::table, t, "table: " + tables_[t].title});
  if (analysis_ && !analysis_->estimates.empty()) parts_.push_back({PartKind::estimates, 0, "estimates with their intervals"});
  if (recording_) parts_.push_back({PartKind::norms, 0, "residual norms of the recording"});
  if (!parts_.empty()) choose(0);
}

void LensView::choose(std::size_t part) {
  chosen_ = part;
  chosen_title_ = parts_[part].title;
  fresh_ = false;
}

void LensView::restore(const Json& json) {
  if (json["colors"].is_string()) colored_by_ = json["colors"].string();
  if (json["spread"].is_integer()) spread_ = static_cast<ColorSpread>(std::clamp<std::int64_t>(json["spread"].integer(), 0, 2));
  fresh_ = false;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    if (json["part"].is_string() && json["part"].string() == parts_[p].title) choose(p);
  }
}

/// Grids that say something of the same layers and positions as the table's tokens.
std::vector<std::size_t> LensView::grids_like(const ResultTable& table) const {
  std::vector<std::size_t> like;
  for (std::size_t g = 0; g < grids_.size(); ++g) {
    const bool positions = std::ranges::all_of(table.header.begin() + 1, table.header.end(),
                                               [&](const std::string& each) { return std::ranges::count(grids_[g].column_labels, each) == 1; });
    if (positions && std::ranges::count(grids_[g].row_labels, cell_text(table.rows.front().front())) == 1) like.push_back(g);
  }
  return like;
}

/// The table's words, coloured by a grid of the same axes.
void LensView::set_tokens(const ResultTable& table) {
  const std::vector<std::size_t> like = grids_like(table);
  const auto wanted = std::ranges::find(like, colored_by_, [&](std::size_t g) { return grids_[g].title; });
  const auto likely = std::ranges::find_if(like, [&](std::size_t g) { return grids_[g].title.starts_with("probability of the likeliest"); });
  const FigureGrid* source = like.empty() ? nullptr : &grids_[wanted != like.end() ? *wanted : likely != like.end() ? *likely : like.front()];
  FigureGrid grid{.title = table.title,
                  .row_axis = "layer",
                  .column_axis = "position",
                  .unit = source == nullptr ? "" : source->title};
  grid.column_labels.assign(table.header.begin() + 1, table.header.end());
  grid.columns = grid.column_labels.size();
  std::vector<std::string> words;
  for (const std::vector<Json>& row : table.rows) {
    grid.row_labels.push_back(cell_text(row.front()));
    const auto line =
        source == nullptr ? std::ptrdiff_t{0} : std::ranges::find(source->row_labels, grid.row_labels.back()) - source->row_labels.begin();
    for (std::size_t c = 0; c < grid.columns; ++c) {
      words.push_back(cell_text(row[c + 1]));
      const bool known = source != nullptr && static_cast<std::size_t>(line) < source->rows;
      const auto column =
          known ? static_cast<std::size_t>(std::ranges::find(source->column_labels, grid.column_labels[c]) - source->column_labels.begin()) : 0;
      grid.values.push_back(known ? source->values[static_cast<std::size_t>(line) * source->columns + column] : std::nan(""));
    }
  }
  grid.rows = grid.row_labels.size();
  choose_colors(grid);
  grid.spread = spread_;
  if (source != nullptr) colored_by_ = source->title;
  grid_.set(std::move(grid), std::move(words));
}

void LensView::set_view() {
  fresh_ = true;
  const Part& part = parts_[chosen_];
  switch (part.kind) {
    case PartKind::tokens:
      return set_tokens(tables_[part.place]);
    case PartKind::table:
      return table_.set(tables_[part.place]);
    case PartKind::norms:
      return grid_.set(norms_);
    case PartKind::grid: {
      FigureGrid grid = grids_[part.place];
      grid.spread = grid.colors == ColorMap::diverging ? ColorSpread::linear : spread_;
      return grid_.set(std::move(grid));
    }
    case PartKind::estimates: {
      ResultTable table{part.title, {"what", "value", "low", "high", "n", "unit", "method", "verdict"}, {}};
      for (const Estimate& each : analysis_->estimates)
        table.rows.push_back({each.name, each.value, each.low, each.high, std::uint64_t{each.n}, each.unit, each.method, verdict_name(each.verdict)});
      return table_.set(std::move(table));
    }
  }
}

void LensView::start_norms(std::size_t sequence) {
  norms_wanted_ = sequence;
  norms_job_ = std::make_unique<Background<FigureGrid>>([document = recording_, sequence](Run& run) { return norms_of(*document, sequence, run); },
                                                        wake_window);
}

void LensView::take_norms(std::size_t sequence) {
  if (norms_job_ && norms_job_->done()) {
    norms_ = norms_job_->answer() ? *norms_job_->answer() : FigureGrid{.title = norms_job_->error()};
    norms_of_ = norms_wanted_;
    norms_job_.reset();
    fresh_ = false;
  }
  if (norms_of_ != sequence && !norms_job_) start_norms(sequence);
}

void LensView::draw_header(Desk& desk) {
  const float unit = ImGui::GetFontSize();
  std::vector<DocumentPointer> analyses;
  std::ranges::copy_if(desk.documents(), std::back_inserter(analyses),
                       [](const DocumentPointer& each) { return each->kind == DocumentKind::analysis; });
  if (analyses.size() > 1) {
    ImGui::SetNextItemWidth(14.0f * unit);
    if (ImGui::BeginCombo("##file", analysis_->path.filename().c_str())) {
      for (const DocumentPointer& each : analyses) {
        if (ImGui::Selectable(each->path.filename().c_str(), each == analysis_)) desk.show(each);
        name_item("lens/file/" + each->path.filename().string());
      }
      ImGui::EndCombo();
    }
    name_item("lens/file");
    ImGui::SameLine();
  }
  ImGui::SetNextItemWidth(std::min(34.0f * unit, ImGui::GetContentRegionAvail().x * 0.5f));
  if (ImGui::BeginCombo("##part", drawable(chosen_title_).c_str(), ImGuiComboFlags_HeightLarge)) {
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      ImGui::PushID(static_cast<int>(p));
      if (ImGui::Selectable(drawable(parts_[p].title).c_str(), p == chosen_)) choose(p);
      name_item("lens/part/" + std::to_string(p));
      ImGui::PopID();
    }
    ImGui::EndCombo();
  }
  name_item("lens/part");
  if (parts_[chosen_].kind == PartKind::tokens) {
    ImGui::SameLine();
    ImGui::SetNextItemWidth(std::min(20.0f * unit, ImGui::GetContentRegionAvail().x));
    if (ImGui::BeginCombo("##colors", drawable(colored_by_).c_str())) {
      for (const std::size_t g : grids_like(tables_[parts_[chosen_].place])) {
        if (ImGui::Selectable(drawable(grids_[g].title).c_str(), colored_by_ == grids_[g].title)) colored_by_ = grids_[g].title, fresh_ = false;
        name_item("lens/colors/" + std::to_string(g));
      }
      ImGui::EndCombo();
    }
    name_item("lens/colors");
  }
  for (const std::string& note : notes_) ImGui::TextWrapped("%s", drawable(note).c_str());
}

/// Rows that are layers and columns that are positions or heads choose those for all panels.
void LensView::click(Desk& desk, const GridView::Cell& cell) const {
  const FigureGrid& grid = grid_.grid();
  const auto column = number_in_front(grid.column_labels[cell.second]);
  const auto row = number_in_front(grid.row_labels[cell.first]);
  if (grid.column_axis == "position" && column) desk.selection.query = *column;
  if (grid.column_axis == "head" && column) desk.selection.head = *column;
  const DocumentPointer recording = desk.shown(DocumentKind::recording);
  if (grid.row_axis != "layer" || !row || !recording) return;
  const auto modules = recording->recording->modules();
  const auto found =
      std::ranges::find_if(modules, [&](const Recording::Module& each) { return each.block == *row && each.queries == Recording::Side::text; });
  if (found != modules.end()) desk.selection.layer = static_cast<std::size_t>(found - modules.begin());
}

std::optional<GridView::Cell> LensView::marked(const Desk& desk) const {
  const FigureGrid& grid = grid_.grid();
  const DocumentPointer recording = desk.shown(DocumentKind::recording);
  const auto modules = recording ? recording->recording->modules() : std::span<const Recording::Module>();
  if (grid.row_axis != "layer" || modules.empty() || (grid.column_axis == "position" && !desk.selection.query) ||
      (grid.column_axis != "position" && grid.column_axis != "head"))
    return {};
  const std::size_t layer = modules[desk.selection.layer].block,
                    wanted = grid.column_axis == "position" ? *desk.selection.query : desk.selection.head;
  const auto row = std::ranges::find_if(grid.row_labels, [&](const std::string& each) { return number_in_front(each) == layer; });
  const auto column = std::ranges::find_if(grid.column_labels, [&](const std::string& each) { return number_in_front(each) == wanted; });
  if (row == grid.row_labels.end() || column == grid.column_labels.end()) return {};
  return GridView::Cell{static_cast<std::size_t>(row - grid.row_labels.begin()), static_cast<std::size_t>(column - grid.column_labels.begin())};
}

void LensView::draw(Desk& desk) {
  if (parts_.empty()) {
    ImGui::TextWrapped("This file has no tables and no grids.");
    return;
  }
  draw_header(desk);
  if (parts_[chosen_].kind == PartKind::norms) take_norms(desk.selection.sequence);
  if (parts_[chosen_].kind == PartKind::norms && norms_of_ != desk.selection.sequence) {
    ImGui::TextDisabled("reading the residual stream");
    return;
  }
  if (!fresh_) set_view();
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const PartKind kind = parts_[chosen_].kind;
  if (kind == PartKind::table || kind == PartKind::estimates) {
    table_.draw("lens/table", {room.x, room.y});
    return;
  }
  if (grid_.empty()) return ImGui::TextWrapped("%s", grid_.grid().title.c_str());
  const GridView::Answer answer = grid_.draw("lens/grid", {room.x, room.y}, marked(desk));
  if (answer.clicked) click(desk, *answer.clicked);
}

std::vector<Action> LensView::actions(Desk&) {
  std::vector<Action> actions{{"Lens: next picture or table", ImGuiKey_J,
                               [this] {
                                 if (!parts_.empty()) choose((chosen_ + 1) % parts_.size());
                               }},
                              {"Lens: previous picture or table", ImGuiKey_K,
                               [this] {
                                 if (!parts_.empty()) choose((chosen_ + parts_.size() - 1) % parts_.size());
                               }},
                              {"Lens: colours linear, by root, by logarithm", ImGuiKey_L,
                               [this] { spread_ = static_cast<ColorSpread>((static_cast<int>(spread_) + 1) % 3), fresh_ = false; }}};
  for (std::size_t p = 0; p < parts_.size(); ++p) actions.push_back({"Lens: " + parts_[p].title, 0, [this, p] { choose(p); }});
  return actions;
}

Figure LensView::figure(Desk& desk) {
  if (parts_.empty()) throw Error({analysis_ ? analysis_->path.string() : "lens", "tables or grids", "none", ""});
  if (parts_[chosen_].kind == PartKind::norms && norms_of_ != desk.selection.sequence) {
    Run run;
    norms_ = norms_of(*recording_, desk.selection.sequence, run);
    norms_of_ = desk.selection.sequence;
    fresh_ = false;
  }
  if (!fresh_) set_view();
  Figure figure{.title = (parts_[chosen_].kind == PartKind::norms ? recording_ : analysis_)->path.filename().string(), .notes = notes_};
  switch (parts_[chosen_].kind) {
    case PartKind::table:
      figure.tables.push_back(figure_of(table_.sorted()));
      break;
    case PartKind::estimates:
      figure.estimates.push_back({parts_[chosen_].title, analysis_->estimates});
      break;
    case PartKind::tokens:
      figure.tables.push_back(figure_of(tables_[parts_[chosen_].place]));
      figure.grids.push_back(grid_.grid());
      break;
    default:
      figure.grids.push_back(grid_.grid());
  }
  return figure;
}

}  // namespace

const Panel& panel_lens() {
  static const Panel panel{.name = "lens",
                           .title = "Analyses",
                           .summary = "lenses, direct attribution and every other analysis: tables and heat maps; residual norms",
                           .place = 60,
                           .shows =
                               [](const Document& document) {
                                 return document.kind == DocumentKind::analysis || (document.kind == DocumentKind::recording && has_norms(document));
                               },
                           .make = [](const DocumentPointer&, Desk& desk) -> std::unique_ptr<PanelView> { return std::make_unique<LensView>(desk); }};
  return panel;
}

}  // namespace vitrine
