#include "viewer/draw/grid_view.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>

#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr float largest_width = 110.0f, smallest_cell = 5.0f, gap = 1.0f, smallest_to_hit = 5.0f;

float widest(const std::vector<std::string>& labels) {
  float width = 0.0f;
  for (const std::string& label : labels) width = std::max(width, ImGui::CalcTextSize(label.c_str()).x);
  return width;
}

}  // namespace

void GridView::set(FigureGrid grid, std::vector<std::string> texts) {
  grid_ = std::move(grid);
  texts_ = std::move(texts);
  prepared_ = false;
}

std::string GridView::text_of(std::size_t cell) const {
  if (!texts_.empty()) return texts_[cell];
  const double value = std::abs(grid_.values[cell]) < 0.005 ? 0.0 : grid_.values[cell];  // no "-0.00"
  char text[32];
  std::snprintf(text, sizeof text, std::abs(value) >= 1000.0 ? "%.0f" : "%.2f", value);
  return std::isnan(value) ? "" : text;
}

/// Cells fill the room as far as they stay legible.
GridView::Layout GridView::layout_for(Corner room) {
  if (!prepared_) {
    row_labels_.clear(), column_labels_.clear();
    for (const std::string& label : grid_.row_labels) row_labels_.push_back(drawable(label));
    for (const std::string& label : grid_.column_labels) column_labels_.push_back(drawable(label));
    for (std::string& text : texts_) text = drawable(text);
    const std::vector<float> numbers(grid_.values.begin(), grid_.values.end());
    map_.upload(numbers, grid_.rows, grid_.columns);
    prepared_ = true;
  }
  Layout layout;
  const float line = ImGui::GetTextLineHeight(), bar = ImGui::GetStyle().ScrollbarSize, unit = ImGui::GetFontSize();
  layout.left = std::min(std::max(widest(row_labels_), ImGui::CalcTextSize((grid_.row_axis + " \u2193").c_str()).x) + 10.0f, room.x * 0.3f);
  const float least = texts_.empty() ? smallest_cell : 5.0f * unit, label = widest(column_labels_);
  layout.width = std::clamp((room.x - layout.left - bar) / static_cast<float>(grid_.columns), least, std::max(least, largest_width * unit / 15.0f));
  layout.upward = label + 4.0f > layout.width;
  layout.top = line + 4.0f + (layout.upward ? std::min(label + 6.0f, room.y * 0.3f) : line);
  layout.height = std::clamp((room.y - layout.top - bar) / static_cast<float>(grid_.rows), texts_.empty() ? smallest_cell : line, 2.2f * line);
  return layout;
}

void GridView::draw_cells(std::string_view name, const Layout& layout, Corner origin, const std::optional<Cell>& marked) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const ImVec2 window = ImGui::GetWindowPos(), seen = ImGui::GetWindowSize();
  const auto rows = static_cast<float>(grid_.rows), columns = static_cast<float>(grid_.columns);
  map_.draw(origin, {origin.x + layout.width * columns, origin.y + layout.height * rows},
            {static_cast<float>(grid_.low), static_cast<float>(grid_.high), grid_.spread, grid_.colors, Reduction::largest});
  const float line = ImGui::GetTextLineHeight();
  const bool written = layout.height >= line - 1.0f && layout.width >= (texts_.empty() ? 2.6f : 3.0f) * ImGui::GetFontSize(),
             hit = layout.width >= smallest_to_hit && layout.height >= smallest_to_hit;
  const auto first = [](float from, float size) { return static_cast<std::size_t>(std::max(0.0f, from / size)); };
  const std::size_t top = first(window.y - origin.y, layout.height), left = first(window.x - origin.x, layout.width);
  for (std::size_t row = top; row < grid_.rows && origin.y + layout.height * static_cast<float>(row) < window.y + seen.y; ++row) {
    for (std::size_t column = left; hit && column < grid_.columns && origin.x + layout.width * static_cast<float>(column) < window.x + seen.x;
         ++column) {
      const std::size_t cell = row * grid_.columns + column;
      const Corner from{origin.x + layout.width * static_cast<float>(column), origin.y + layout.height * static_cast<float>(row)},
          to{from.x + layout.width, from.y + layout.height};
      name_rectangle(std::string(name) + "/" + std::to_string(row) + "." + std::to_string(column), {from, to});
      if (!written) continue;
      const std::string text = text_of(cell);
      const float wide = ImGui::CalcTextSize(text.c_str()).x;
      const std::uint32_t color =
          std::isnan(grid_.values[cell]) ? ink_of(ink_on({0.3f, 0.3f, 0.32f})) : packed_ink_on(colors().at(grid_.values[cell]));
      const ImVec4 clip{from.x, from.y, to.x - gap, to.y};
      list->AddText(nullptr, 0.0f, {texts_.empty() ? std::max(from.x + 1.0f, (from.x + to.x - wide) / 2) : from.x + 3.0f, (from.y + to.y - line) / 2},
                    color, text.c_str(), nullptr, 0.0f, &clip);
    }
  }
  if (!marked || marked->first >= grid_.rows || marked->second >= grid_.columns) return;
  const ImVec2 at{origin.x + layout.width * static_cast<float>(marked->second), origin.y + layout.height * static_cast<float>(marked->first)};
  list->AddRect({at.x - 1.5f, at.y - 1.5f}, {at.x + layout.width + 1.5f, at.y + layout.height + 1.5f}, ImGui::GetColorU32(ImGuiCol_WindowBg), 0.0f, 0,
                5.0f);
  list->AddRect({at.x - 1.5f, at.y - 1.5f}, {at.x + layout.width + 1.5f, at.y + layout.height + 1.5f}, mark_ink(), 0.0f, 0, 2.5f);
}

/// Over the cells that were scrolled under them.
void GridView::draw_labels(const Layout& layout, Corner origin) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const ImVec2 window = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
  const float line = ImGui::GetTextLineHeight();
  const std::uint32_t back = ImGui::GetColorU32(ImGuiCol_WindowBg);
  list->AddRectFilled(window, {window.x + layout.left, window.y + size.y}, back);
  float last = -1e9f;
  for (std::size_t row = 0; row < row_labels_.size(); ++row) {
    const float y = origin.y + layout.height * (static_cast<float>(row) + 0.5f) - line / 2;
    if (y < last + line - 2.0f || y > window.y + size.y || y < window.y) continue;
    last = y;
    const ImVec4 clip{window.x, window.y, window.x + layout.left - 4.0f, window.y + size.y};
    const float wide = ImGui::CalcTextSize(row_labels_[row].c_str()).x;
    list->AddText(nullptr, 0.0f, {std::max(window.x, window.x + layout.left - 6.0f - wide), y}, ink(), row_labels_[row].c_str(), nullptr, 0.0f,
                  &clip);
  }
  list->AddRectFilled(window, {window.x + size.x, window.y + layout.top}, back);
  list->AddText({window.x + layout.left, window.y}, faint_ink(), (grid_.column_axis + " \u2192").c_str());
  list->AddText(window, faint_ink(), (grid_.row_axis + " \u2193").c_str());
  list->PushClipRect({window.x + layout.left, window.y}, {window.x + size.x, window.y + size.y}, true);
  last = -1e9f;
  for (std::size_t column = 0; column < column_labels_.size(); ++column) {
    const float middle = origin.x + layout.width * (static_cast<float>(column) + 0.5f);
    const float wide = layout.upward ? line : ImGui::CalcTextSize(column_labels_[column].c_str()).x;
    if (middle - wide / 2 < last + (layout.upward ? -2.0f : 4.0f) || middle < window.x + layout.left || middle > window.x + size.x) continue;
    last = middle + wide / 2;
    if (layout.upward)
      upward_text({middle - line / 2, window.y + layout.top - 4.0f}, {window.x + layout.left, window.y}, ink(), column_labels_[column]);
    else list->AddText({middle - wide / 2, window.y + layout.top - line - 3.0f}, ink(), column_labels_[column].c_str());
  }
  list->PopClipRect();
}

void GridView::tooltip(const Cell& cell) const {
  const auto& [row, column] = cell;
  const std::size_t place = row * grid_.columns + column;
  ImGui::BeginTooltip();
  ImGui::Text("%s %s", grid_.row_axis.c_str(), row < row_labels_.size() ? row_labels_[row].c_str() : std::to_string(row).c_str());
  ImGui::Text("%s %s", grid_.column_axis.c_str(), column < column_labels_.size() ? column_labels_[column].c_str() : std::to_string(column).c_str());
  if (!texts_.empty()) ImGui::TextUnformatted(texts_[place].c_str());
  std::isnan(grid_.values[place]) ? ImGui::TextDisabled("undefined") : ImGui::Text("%.6g %s", grid_.values[place], grid_.unit.c_str());
  ImGui::EndTooltip();
}

GridView::Answer GridView::draw(std::string_view name, Corner size, const std::optional<Cell>& marked) {
  Answer answer;
  ImGui::PushID(std::string(name).c_str());
  ImGui::BeginChild("grid with title", {size.x, size.y});
  ImGui::TextWrapped("%s", drawable(grid_.title).c_str());
  draw_color_strip(12.0f * ImGui::GetFontSize(), colors(), grid_.unit);
  ImGui::BeginChild("grid", {0, 0}, 0, ImGuiWindowFlags_HorizontalScrollbar | ImGuiWindowFlags_NoNavInputs);
  const ImVec2 room = ImGui::GetContentRegionAvail(), cursor = ImGui::GetCursorScreenPos();
  const Layout layout = layout_for({room.x, room.y});
  const Corner origin{cursor.x + layout.left, cursor.y + layout.top};
  ImGui::SetCursorScreenPos({origin.x, origin.y});
  ImGui::InvisibleButton("cells", {layout.width * static_cast<float>(grid_.columns), layout.height * static_cast<float>(grid_.rows)});
  name_item(name);
  draw_cells(name, layout, origin, marked);
  draw_labels(layout, origin);
  if (ImGui::IsItemHovered()) {
    const ImVec2 mouse = ImGui::GetMousePos(), window = ImGui::GetWindowPos();
    const float right = (mouse.x - origin.x) / layout.width, down = (mouse.y - origin.y) / layout.height;
    const bool inside = mouse.x >= window.x + layout.left && mouse.y >= window.y + layout.top && right >= 0.0f && down >= 0.0f;
    if (inside && right < static_cast<float>(grid_.columns) && down < static_cast<float>(grid_.rows)) {
      answer.hovered = {static_cast<std::size_t>(down), static_cast<std::size_t>(right)};
      tooltip(*answer.hovered);
      if (ImGui::IsMouseReleased(ImGuiMouseButton_Left)) answer.clicked = answer.hovered;
    }
  }
  ImGui::EndChild();
  ImGui::EndChild();
  ImGui::PopID();
  return answer;
}

}  // namespace vitrine
