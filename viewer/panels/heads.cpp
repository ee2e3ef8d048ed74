#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "probes/head_score.h"
#include "viewer/data/background.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"

// Every head: as a thumbnail in a grid of layers and heads, in the order of a score, or as a row of a table with all scores.

namespace vitrine {
namespace {

constexpr std::size_t thumbnail_cells = 48;
constexpr float smallest_thumbnail = 14.0f, largest_thumbnail = 96.0f, gap = 2.0f;

/// A head's roles by its scores, the strongest first: colours of Okabe & Ito (2008), which people tell apart who see few colours.
struct Role {
  const char* score;
  const char* name;
  double from;  ///< a head with at least this has the role
  std::uint32_t color;
};
constexpr std::array roles{Role{"induction", "induction", 0.3, IM_COL32(230, 159, 0, 255)}, Role{"previous_token", "previous token", 0.5, IM_COL32(86, 180, 233, 255)},
                           Role{"duplicate_token", "duplicate token", 0.3, IM_COL32(204, 121, 167, 255)}, Role{"sink", "first token", 0.8, IM_COL32(120, 120, 125, 255)}};

struct HeadPlace {
  std::size_t module = 0, head = 0;
};

class HeadsView : public PanelView {
 public:
  HeadsView(const DocumentPointer& document, Desk& desk);
  void draw(Desk& desk) override;
  bool busy() const override { return scoring_ || (!table_ && painted_ < done_.size()); }
  Json state() const override { return Json::object().set("sort", sort_).set("table", table_).set("filter", filter_).set("size", static_cast<double>(size_)); }
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  void take_scores();
  void sort();
  double score(std::size_t place, const std::string& name) const;
  const Role* role_of(std::size_t place) const;
  bool wanted(std::size_t place) const;
  void paint_thumbnails(Desk& desk);
  void draw_controls(Desk& desk);
  void draw_grid(Desk& desk);
  HeatMap::Placed draw_cell(const Desk& desk, std::size_t place, Corner from, float size) const;
  void draw_table(Desk& desk);
  void pick(Desk& desk, std::size_t place);
  std::string label(std::size_t place) const;
  FigureTable score_table() const;

  DocumentPointer document_;
  std::vector<HeadPlace> places_;     // by module and head
  std::size_t most_heads_ = 0;
  std::vector<std::size_t> order_;    // places, as they are shown
  std::vector<std::vector<double>> scores_;  // [score, place]; NaN where undefined
  std::vector<std::string> score_names_;
  std::unique_ptr<Background<std::vector<HeadRow>>> scoring_;
  std::string note_, sort_ = "layer", filter_;
  bool table_ = false;
  float size_ = 0.0f;  // of a thumbnail; 0: as large as there is room

  std::size_t sequence_ = std::numeric_limits<std::size_t>::max();
  HeatMap atlas_;
  std::vector<bool> done_;
  std::size_t painted_ = 0;
};

HeadsView::HeadsView(const DocumentPointer& document, Desk&) : document_(document) {
  const Recording& recording = *document->recording;
  for (std::size_t m = 0; m < recording.modules().size(); ++m) {
    most_heads_ = std::max(most_heads_, recording.modules()[m].heads);
    for (std::size_t h = 0; h < recording.modules()[m].heads; ++h) places_.push_back({m, h});
  }
  order_.resize(places_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (places_.empty() || recording.sequences() == 0) return;
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
  if (json["size"].is_number()) size_ = std::clamp(static_cast<float>(json["size"].number()), 0.0f, largest_thumbnail);
  sort();
}

void HeadsView::take_scores() {
  if (!scoring_ || !scoring_->done()) return;
  if (!scoring_->error().empty()) note_ = scoring_->error();
  if (scoring_->answer()) {
    const std::vector<HeadRow>& rows = *scoring_->answer();
    for (const HeadScore* each : all_head_scores()) score_names_.emplace_back(each->name);
    scores_.assign(score_names_.size(), std::vector<double>(places_.size(), std::nan("")));
    const auto modules = document_->recording->modules();
    for (std::size_t p = 0; p < places_.size(); ++p) {
      const auto row = std::ranges::find_if(rows, [&](const HeadRow& each) { return each.module == modules[places_[p].module].name && each.head == places_[p].head; });
      for (std::size_t s = 0; row != rows.end() && s < score_names_.size(); ++s) scores_[s][p] = row->scores[s].value_or(std::nan(""));
    }
    sort();
  }
  scoring_.reset();
}

double HeadsView::score(std::size_t place, const std::string& name) const {
  const auto found = std::ranges::find(score_names_, name);
  return found == score_names_.end() ? std::nan("") : scores_[static_cast<std::size_t>(found - score_names_.begin())][place];
}

/// Largest first; by layer where no score is chosen. Undefined ones come last.
void HeadsView::sort() {
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (sort_ == "layer" || score_names_.empty()) return;
  std::ranges::stable_sort(order_, [&](std::size_t a, std::size_t b) {
    const double x = score(a, sort_), y = score(b, sort_);
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
}

const Role* HeadsView::role_of(std::size_t place) const {
  const Role* best = nullptr;
  double most = 0.0;
  for (const Role& role : roles) {
    const double value = score(place, role.score);
    if (value >= role.from && value - role.from >= most) best = &role, most = value - role.from;
  }
  return best;
}

std::string HeadsView::label(std::size_t place) const {
  const Recording::Module& module = document_->recording->modules()[places_[place].module];
  const std::string head = "L" + std::to_string(module.block) + "H" + std::to_string(places_[place].head);
  if (module.name.starts_with("encoder.")) return "encoder " + head;
  return module.name.ends_with("cross_attn") ? "cross " + head : head;
}

bool HeadsView::wanted(std::size_t place) const {
  if (filter_.empty()) return true;
  const Role* role = role_of(place);
  return label(place).find(filter_) != std::string::npos || (role != nullptr && std::string_view(role->name).find(filter_) != std::string_view::npos);
}

void HeadsView::pick(Desk& desk, std::size_t place) {
  desk.selection.layer = places_[place].module;
  desk.selection.head = places_[place].head;
  desk.panel_to_show = "attention";
}

/// Tiles of few cells become squares of one texture, head beside head, module below module.
void HeadsView::paint_thumbnails(Desk& desk) {
  const Recording& recording = *document_->recording;
  if (sequence_ != desk.selection.sequence) {
    sequence_ = desk.selection.sequence;
    done_.assign(places_.size(), false);
    painted_ = 0;
    const std::vector<float> nothing(recording.modules().size() * most_heads_ * thumbnail_cells * thumbnail_cells, std::nanf(""));
    atlas_.upload(nothing, recording.modules().size() * thumbnail_cells, most_heads_ * thumbnail_cells);
  }
  std::vector<float> largest(thumbnail_cells * thumbnail_cells), mean(largest.size());
  for (const std::size_t place : order_) {
    if (done_[place]) continue;
    const auto [m, h] = places_[place];
    const Recording::Module& module = recording.modules()[m];
    const std::size_t rows = recording.rows_of(sequence_, module.queries).count, columns = recording.rows_of(sequence_, module.keys).count;
    unsigned level = 0;
    while (std::max(rows, columns) > thumbnail_cells << level) ++level;
    const auto tile = desk.tiles().find({{document_, m, h, sequence_}, level, 0, 0}, Urgency::thumbnail);
    if (!tile) continue;
    done_[place] = true;
    ++painted_;
    if (tile->rows == 0) continue;
    for (std::size_t r = 0; r < thumbnail_cells; ++r) {  // stretched over the thumbnail, whatever the text's length
      for (std::size_t c = 0; c < thumbnail_cells; ++c) {
        const std::size_t from = r * tile->rows / thumbnail_cells * tile->columns + c * tile->columns / thumbnail_cells;
        largest[r * thumbnail_cells + c] = tile->largest[from];
        mean[r * thumbnail_cells + c] = tile->mean[from];
      }
    }
    atlas_.replace(largest, mean, m * thumbnail_cells, h * thumbnail_cells, thumbnail_cells, thumbnail_cells);
  }
}

void HeadsView::draw_controls(Desk& desk) {
  const float unit = ImGui::GetFontSize();
  ImGui::SetNextItemWidth(9.0f * unit);
  if (ImGui::BeginCombo("##sort", ("by " + sort_).c_str())) {
    for (std::size_t i = 0; i <= score_names_.size(); ++i) {
      const std::string name = i == 0 ? "layer" : score_names_[i - 1];
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
  if (scores_.empty()) return;
  for (const Role& role : roles) {
    ImGui::ColorButton(role.name, ImGui::ColorConvertU32ToFloat4(role.color), ImGuiColorEditFlags_NoTooltip | ImGuiColorEditFlags_NoDragDrop, {unit * 0.7f, unit * 0.7f});
    ImGui::SetItemTooltip("heads whose score %s is at least %.2g on this text", role.score, role.from);
    ImGui::SameLine(0.0f, 4.0f);
    ImGui::TextDisabled("%s", role.name);
    ImGui::SameLine();
  }
  ImGui::NewLine();
}

/// Draws what lies over a thumbnail, and says where the thumbnail goes.
HeatMap::Placed HeadsView::draw_cell(const Desk& desk, std::size_t place, Corner from, float size) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const auto [m, h] = places_[place];
  const float inside = size - gap;
  const auto cells = static_cast<float>(thumbnail_cells);
  const Selection& selection = desk.selection;
  if (const Role* role = role_of(place)) list->AddRectFilled({from.x, from.y + inside - 3.0f}, {from.x + inside, from.y + inside}, role->color);
  if (selection.layer == m && selection.head == h) list->AddRect({from.x - 1, from.y - 1}, {from.x + inside + 1, from.y + inside + 1}, mark_ink(), 0.0f, 0, 2.5f);
  name_rectangle("heads/" + std::to_string(m) + "." + std::to_string(h), {from, {from.x + inside, from.y + inside}});
  return {{static_cast<float>(m) * cells, static_cast<float>(h) * cells, cells, cells}, from, {from.x + inside, from.y + inside}};
}

/// In rows of layers, or one behind the other where they are sorted or filtered.
void HeadsView::draw_grid(Desk& desk) {
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float line = ImGui::GetTextLineHeight(), margin = ImGui::CalcTextSize("000 ").x;
  const bool by_layer = sort_ == "layer" && filter_.empty();
  std::vector<std::size_t> shown;
  std::ranges::copy_if(order_, std::back_inserter(shown), [&](std::size_t place) { return wanted(place); });
  const std::size_t modules = document_->recording->modules().size();
  const float by_width = (room.x - margin - 14.0f) / static_cast<float>(most_heads_), by_height = (room.y - line - 6.0f) / static_cast<float>(modules);
  const float size = std::clamp(size_ > 0.0f ? size_ : std::min(by_width, std::max(by_height, 22.0f)), smallest_thumbnail, largest_thumbnail);
  const std::size_t across = by_layer ? most_heads_ : std::max<std::size_t>(1, static_cast<std::size_t>((room.x - 14.0f) / size));
  const std::size_t down = by_layer ? modules : (shown.size() + across - 1) / across;
  ImGui::BeginChild("grid", {0, 0}, 0, ImGuiWindowFlags_HorizontalScrollbar);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  const Corner from{origin.x + (by_layer ? margin : 0.0f), origin.y + (by_layer ? line + 2.0f : 0.0f)};
  ImGui::SetCursorScreenPos({from.x, from.y});
  ImGui::InvisibleButton("heads", {size * static_cast<float>(across), std::max(size * static_cast<float>(down), 1.0f)});
  name_item("heads/grid");
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float top = ImGui::GetWindowPos().y, bottom = top + ImGui::GetWindowHeight();
  list->ChannelsSplit(2);
  list->ChannelsSetCurrent(1);  // what lies over the thumbnails
  std::vector<HeatMap::Placed> thumbnails;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const std::size_t row = by_layer ? places_[shown[i]].module : i / across, column = by_layer ? places_[shown[i]].head : i % across;
    const Corner at{from.x + size * static_cast<float>(column), from.y + size * static_cast<float>(row)};
    if (at.y + size >= top && at.y <= bottom) thumbnails.push_back(draw_cell(desk, shown[i], at, size));
  }
  list->ChannelsSetCurrent(0);
  atlas_.draw_parts(thumbnails, {0.0f, 1.0f, ColorSpread::square_root, desk.map_scale.colors, desk.map_scale.reduction});
  list->ChannelsMerge();
  if (by_layer) {
    list->AddText({from.x, origin.y}, faint_ink(), "head \u2192   layer \u2193");
    const std::size_t every = size < line ? 2 : 1;
    for (std::size_t m = 0; m < modules; m += every) {
      list->AddText({origin.x, from.y + size * (static_cast<float>(m) + 0.5f) - line / 2}, faint_ink(), std::to_string(document_->recording->modules()[m].block).c_str());
    }
  }
  if (ImGui::IsItemHovered()) {
    const ImVec2 mouse = ImGui::GetMousePos();
    const auto row = static_cast<std::size_t>(std::max(0.0f, (mouse.y - from.y) / size)), column = static_cast<std::size_t>(std::max(0.0f, (mouse.x - from.x) / size));
    const auto hit = by_layer ? std::ranges::find_if(shown, [&](std::size_t p) { return places_[p].module == row && places_[p].head == column; })
                              : shown.begin() + static_cast<std::ptrdiff_t>(std::min(row * across + column, shown.size()));
    if (hit != shown.end()) {
      ImGui::BeginTooltip();
      ImGui::TextUnformatted(label(*hit).c_str());
      for (const std::string& name : score_names_) ImGui::Text("%s %.3f", name.c_str(), score(*hit, name));
      ImGui::EndTooltip();
      if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) pick(desk, *hit);
    }
  }
  ImGui::EndChild();
}

void HeadsView::draw_table(Desk& desk) {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_Sortable | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingStretchProp;
  if (!ImGui::BeginTable("scores", static_cast<int>(score_names_.size()) + 2, flags)) return;
  ImGui::TableSetupScrollFreeze(1, 1);
  ImGui::TableSetupColumn("head", ImGuiTableColumnFlags_NoSort);
  ImGui::TableSetupColumn("role", ImGuiTableColumnFlags_NoSort);
  for (const std::string& name : score_names_) ImGui::TableSetupColumn(name.c_str(), ImGuiTableColumnFlags_PreferSortDescending);
  ImGui::TableHeadersRow();
  if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty && specs->SpecsCount > 0) {
    sort_ = score_names_[static_cast<std::size_t>(specs->Specs->ColumnIndex - 2)];
    sort();
    if (specs->Specs->SortDirection == ImGuiSortDirection_Ascending) std::ranges::reverse(order_);
    specs->SpecsDirty = false;
  }
  std::vector<std::size_t> shown;
  std::ranges::copy_if(order_, std::back_inserter(shown), [&](std::size_t place) { return wanted(place); });
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(shown.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const std::size_t place = shown[static_cast<std::size_t>(i)];
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      const bool chosen = desk.selection.layer == places_[place].module && desk.selection.head == places_[place].head;
      if (ImGui::Selectable(label(place).c_str(), chosen, ImGuiSelectableFlags_SpanAllColumns)) pick(desk, place);
      name_item("heads/row/" + std::to_string(i));
      ImGui::TableNextColumn();
      if (const Role* role = role_of(place)) ImGui::TextColored(ImGui::ColorConvertU32ToFloat4(role->color), "%s", role->name);
      for (std::size_t s = 0; s < score_names_.size(); ++s) {
        ImGui::TableNextColumn();
        std::isnan(scores_[s][place]) ? ImGui::TextDisabled("-") : ImGui::Text("%.4f", scores_[s][place]);
      }
    }
  }
  ImGui::EndTable();
}

std::vector<Action> HeadsView::actions(Desk&) {
  std::vector<Action> actions{{"Heads: grid or table", ImGuiKey_T, [this] { table_ = !table_; }},
                              {"Heads: larger thumbnails", 0, [this] { size_ = std::min(largest_thumbnail, (size_ > 0.0f ? size_ : 24.0f) * 1.3f); }},
                              {"Heads: as large as there is room", 0, [this] { size_ = 0.0f; }},
                              {"Heads: sort by layer", 0, [this] { sort_ = "layer", sort(); }}};
  for (const std::string& name : score_names_) actions.push_back({"Heads: sort by " + name, 0, [this, name] { sort_ = name, sort(); }});
  return actions;
}

void HeadsView::draw(Desk& desk) {
  if (places_.empty() || document_->recording->sequences() == 0) {
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
  table.header.insert(table.header.end(), score_names_.begin(), score_names_.end());
  for (const std::size_t place : order_) {
    if (!wanted(place)) continue;
    const Recording::Module& module = document_->recording->modules()[places_[place].module];
    const Role* role = role_of(place);
    std::vector<std::string>& row = table.rows.emplace_back(std::vector<std::string>{module.name, std::to_string(module.block), std::to_string(places_[place].head), role == nullptr ? "" : role->name});
    for (const auto& column : scores_) {
      char text[32];
      std::snprintf(text, sizeof text, "%.9g", column[place]);
      row.push_back(std::isnan(column[place]) ? "" : text);
    }
  }
  return table;
}

Figure HeadsView::figure(Desk&) {
  if (places_.empty()) throw Error({document_->path.string(), "attention", "a recording without any", "record with --attention factors"});
  while (scoring_ && !scoring_->done()) std::this_thread::yield();
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
