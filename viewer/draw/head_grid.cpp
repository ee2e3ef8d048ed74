#include "viewer/draw/head_grid.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>

#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr std::size_t thumbnail_cells = 48;
constexpr float smallest_thumbnail = 14.0f, readable_thumbnail = 22.0f, gap = 2.0f, scroll_bar = 14.0f;  // times the look's scale

void tooltip(const HeadList& heads, std::size_t place) {
  ImGui::BeginTooltip();
  ImGui::TextUnformatted(heads.labels[place].c_str());
  for (const std::string& name : heads.score_names) {
    const double value = heads.score(place, name);
    std::isnan(value) ? ImGui::TextDisabled("%s undefined", name.c_str()) : ImGui::Text("%s %.3f", name.c_str(), value);
  }
  ImGui::EndTooltip();
}

}  // namespace

/// Where thumbnails lie.
struct HeadGrid::Layout {
  bool by_layer = true;
  std::vector<std::size_t> shown;  // places
  float size = 0.0f;
  std::size_t across = 1, down = 1;
  Corner from;

  /// Column and row of the i-th that is shown.
  std::pair<std::size_t, std::size_t> cell_of(const HeadList& heads, std::size_t i) const {
    if (!by_layer) return {i % across, i / across};
    return {heads.places[shown[i]].head, heads.places[shown[i]].module};
  }
  Corner corner_of(const HeadList& heads, std::size_t i) const {
    const auto [column, row] = cell_of(heads, i);
    return {from.x + size * static_cast<float>(column), from.y + size * static_cast<float>(row)};
  }
  std::optional<std::size_t> place_at(const HeadList& heads, Corner at) const {
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const Corner corner = corner_of(heads, i);
      if (at.x >= corner.x && at.x < corner.x + size && at.y >= corner.y && at.y < corner.y + size) return shown[i];
    }
    return std::nullopt;
  }
};

unsigned HeadGrid::level_for(std::size_t queries, std::size_t keys) {
  unsigned level = 0;
  while (std::max(queries, keys) > thumbnail_cells << level) ++level;
  return level;
}

void HeadGrid::reset(const HeadList& heads) {
  done_.assign(heads.places.size(), false);
  painted_ = 0;
  const std::size_t rows = heads.modules.size() * thumbnail_cells, columns = heads.most_heads * thumbnail_cells;
  const std::vector<float> nothing(rows * columns, std::nanf(""));
  atlas_.upload(nothing, rows, columns);
}

void HeadGrid::put(const HeadList& heads, std::size_t place, const Tile& tile) {
  if (!done_[place]) ++painted_;
  done_[place] = true;
  if (tile.rows == 0 || tile.columns == 0) return;
  std::vector<float> largest(thumbnail_cells * thumbnail_cells, std::nanf("")), mean(largest.size(), std::nanf(""));
  std::vector<float> counts(largest.size(), 0.0f);
  const auto take = [&](std::size_t to, std::size_t from) {
    const float weight = tile.largest[from], average = tile.mean[from];
    if (std::isnan(weight)) return;
    largest[to] = counts[to] == 0.0f ? weight : std::max(largest[to], weight);
    mean[to] = (counts[to] == 0.0f ? 0.0f : mean[to]) + average;
    counts[to] += 1.0f;
  };
  // Every cell of the tile falls into the thumbnail; where it has fewer than that, each one is repeated.
  const std::size_t rows = std::max(tile.rows, thumbnail_cells), columns = std::max(tile.columns, thumbnail_cells);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      take(r * thumbnail_cells / rows * thumbnail_cells + c * thumbnail_cells / columns, r * tile.rows / rows * tile.columns + c * tile.columns / columns);
    }
  }
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i] /= std::max(counts[i], 1.0f);
  const auto [m, h] = heads.places[place];
  atlas_.replace(largest, mean, m * thumbnail_cells, h * thumbnail_cells, thumbnail_cells, thumbnail_cells);
}

HeadGrid::Layout HeadGrid::lay_out(const HeadList& heads, const Order& order) const {
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float line = ImGui::GetTextLineHeight(), margin = ImGui::CalcTextSize("000 ").x, scale = ImGui::GetStyle().FontScaleMain, bar = scroll_bar * scale;
  Layout layout;
  layout.by_layer = order.filter.empty() && !heads.has_score(order.sort);
  for (const std::size_t place : heads.order(order.sort)) {
    if (heads.matches(place, order.filter)) layout.shown.push_back(place);
  }
  const std::size_t modules = heads.modules.size();
  const float by_width = (room.x - margin - bar) / static_cast<float>(heads.most_heads), by_height = (room.y - line - 6.0f) / static_cast<float>(modules);
  layout.size = std::clamp(order.size > 0.0f ? order.size : std::min(by_width, std::max(by_height, readable_thumbnail * scale)), smallest_thumbnail * scale, largest_thumbnail * scale);
  layout.across = layout.by_layer ? heads.most_heads : std::max<std::size_t>(1, static_cast<std::size_t>((room.x - bar) / layout.size));
  layout.down = layout.by_layer ? modules : (layout.shown.size() + layout.across - 1) / layout.across;
  layout.from = {layout.by_layer ? margin : 0.0f, layout.by_layer ? line + 2.0f : 0.0f};
  return layout;
}

/// Draws what lies over a thumbnail, and says where the thumbnail goes.
HeatMap::Placed HeadGrid::draw_cell(const HeadList& heads, const Order& order, std::size_t place, const Layout& layout, std::size_t at) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const auto [m, h] = heads.places[place];
  const float inside = layout.size - gap;
  const auto cells = static_cast<float>(thumbnail_cells);
  const Corner from = layout.corner_of(heads, at), to{from.x + inside, from.y + inside};
  if (const HeadRole* role = heads.role_of(place)) list->AddRectFilled({from.x, to.y - 3.0f}, {to.x, to.y}, ink_of(role->color));
  if (order.module == m && order.head == h) list->AddRect({from.x - 1, from.y - 1}, {to.x + 1, to.y + 1}, mark_ink(), 0.0f, 0, 2.5f);
  name_rectangle("heads/" + std::to_string(m) + "." + std::to_string(h), {from, to});
  return {{static_cast<float>(m) * cells, static_cast<float>(h) * cells, cells, cells}, from, to};
}

std::optional<std::size_t> HeadGrid::draw(const HeadList& heads, const Order& order) const {
  Layout layout = lay_out(heads, order);
  const float line = ImGui::GetTextLineHeight();
  ImGui::BeginChild("grid", {0, 0}, 0, ImGuiWindowFlags_HorizontalScrollbar);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  layout.from = {origin.x + layout.from.x, origin.y + layout.from.y};
  ImGui::SetCursorScreenPos({layout.from.x, layout.from.y});
  ImGui::InvisibleButton("heads", {layout.size * static_cast<float>(layout.across), std::max(layout.size * static_cast<float>(layout.down), 1.0f)});
  name_item("heads/grid");
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float top = ImGui::GetWindowPos().y, bottom = top + ImGui::GetWindowHeight();
  list->ChannelsSplit(2);
  list->ChannelsSetCurrent(1);  // what lies over the thumbnails
  std::vector<HeatMap::Placed> thumbnails;
  for (std::size_t i = 0; i < layout.shown.size(); ++i) {
    const float y = layout.corner_of(heads, i).y;
    if (y + layout.size >= top && y <= bottom) thumbnails.push_back(draw_cell(heads, order, layout.shown[i], layout, i));
  }
  list->ChannelsSetCurrent(0);
  atlas_.draw_parts(thumbnails, order.scale);
  list->ChannelsMerge();
  if (layout.by_layer) {
    list->AddText({layout.from.x, origin.y}, faint_ink(), "head \u2192   layer \u2193");
    const std::size_t every = layout.size < line ? 2 : 1;
    for (std::size_t m = 0; m < heads.modules.size(); m += every) {
      list->AddText({origin.x, layout.from.y + layout.size * (static_cast<float>(m) + 0.5f) - line / 2}, faint_ink(), std::to_string(heads.modules[m].block).c_str());
    }
  }
  std::optional<std::size_t> clicked;
  if (ImGui::IsItemHovered()) {
    const ImVec2 mouse = ImGui::GetMousePos();
    const std::optional<std::size_t> hit = layout.place_at(heads, {mouse.x, mouse.y});
    if (hit) tooltip(heads, *hit);
    if (hit && ImGui::IsMouseClicked(ImGuiMouseButton_Left)) clicked = hit;
  }
  ImGui::EndChild();
  return clicked;
}

void draw_role_legend() {
  const float unit = ImGui::GetFontSize();
  for (const HeadRole& role : head_roles()) {
    const std::string name(role.name);
    ImGui::ColorButton(name.c_str(), ImGui::ColorConvertU32ToFloat4(ink_of(role.color)), ImGuiColorEditFlags_NoTooltip | ImGuiColorEditFlags_NoDragDrop, {unit * 0.7f, unit * 0.7f});
    ImGui::SetItemTooltip("heads whose score %s is at least %.2g on this text", std::string(role.score).c_str(), role.from);
    ImGui::SameLine(0.0f, 4.0f);
    ImGui::TextDisabled("%s", name.c_str());
    ImGui::SameLine();
  }
  ImGui::NewLine();
}

}  // namespace vitrine
