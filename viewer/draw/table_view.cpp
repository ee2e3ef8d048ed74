#include "viewer/draw/table_view.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr std::size_t most_columns = 500;  // ImGui's own limit is 512

}  // namespace

void TableView::set(ResultTable table) {
  table_ = std::move(table);
  columns_.assign(table_.header.size(), {});
  order_.resize(table_.rows.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    for (const std::vector<Json>& row : table_.rows) {
      if (!row[c].is_number()) continue;
      columns_[c].numbers = true;
      columns_[c].is_signed |= row[c].number() < 0.0;
      columns_[c].reach = std::max(columns_[c].reach, std::abs(row[c].number()));
    }
  }
}

ResultTable TableView::sorted() const {
  ResultTable sorted{table_.title, table_.header, {}};
  for (const std::size_t row : order_) sorted.rows.push_back(table_.rows[row]);
  return sorted;
}

/// Numbers before texts before what is not there, whichever way.
void TableView::sort(std::size_t column, bool descending) {
  const auto rank = [](const Json& cell) { return cell.is_number() ? 0 : cell.is_null() ? 2 : 1; };
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::ranges::stable_sort(order_, [&](std::size_t first, std::size_t second) {
    const Json &a = table_.rows[first][column], &b = table_.rows[second][column];
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    if (a.is_number()) return descending ? a.number() > b.number() : a.number() < b.number();
    return descending ? cell_text(a) > cell_text(b) : cell_text(a) < cell_text(b);
  });
}

void TableView::draw_cell(std::size_t row, std::size_t column) const {
  const Json& cell = table_.rows[row][column];
  const Column& how = columns_[column];
  if (!cell.is_number()) return cell.is_null() ? ImGui::TextDisabled("-") : ImGui::TextUnformatted(drawable(cell_text(cell)).c_str());
  const ImVec2 from = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x, height = ImGui::GetTextLineHeight();
  if (how.reach > 0.0) {
    const float zero = from.x + (how.is_signed ? width / 2 : 0.0f), room = how.is_signed ? width / 2 : width;
    const float end = zero + room * static_cast<float>(cell.number() / how.reach);
    const Color color = color_at(ColorMap::diverging, cell.number() < 0.0 ? 0.12 : 0.88);
    ImGui::GetWindowDrawList()->AddRectFilled({std::min(zero, end), from.y}, {std::max(zero, end), from.y + height},
                                              (ink_of(color) & 0x00ffffffu) | 0x70000000u);
  }
  ImGui::TextUnformatted(cell_text(cell).c_str());
}

std::optional<std::size_t> TableView::draw(std::string_view name, Corner size) {
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX | ImGuiTableFlags_Sortable |
                                    ImGuiTableFlags_SortTristate | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerV;
  std::optional<std::size_t> clicked;
  const std::size_t count = std::min(table_.header.size(), most_columns);
  if (count == 0 || !ImGui::BeginTable(std::string(name).c_str(), static_cast<int>(count), flags, {size.x, size.y})) return clicked;
  ImGui::TableSetupScrollFreeze(1, 1);
  const float unit = ImGui::GetFontSize(), share = (size.x - 20.0f) / static_cast<float>(count) - 2 * ImGui::GetStyle().CellPadding.x;
  for (std::size_t c = 0; c < count; ++c) {
    const float words = ImGui::CalcTextSize(table_.header[c].c_str()).x + 1.5f * unit;
    ImGui::TableSetupColumn(table_.header[c].c_str(), ImGuiTableColumnFlags_WidthFixed | ImGuiTableColumnFlags_PreferSortDescending,
                            std::clamp(share, std::min(std::max(words, 6.0f * unit), 14.0f * unit), 22.0f * unit));
  }
  ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
  for (std::size_t c = 0; c < count; ++c) {
    ImGui::TableNextColumn();
    ImGui::PushID(static_cast<int>(c));
    ImGui::TableHeader(drawable(table_.header[c]).c_str());
    ImGui::SetItemTooltip("%s", table_.header[c].c_str());
    name_item(std::string(name) + "/column/" + std::to_string(c));
    ImGui::PopID();
  }
  if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty) {
    if (specs->SpecsCount > 0)
      sort(static_cast<std::size_t>(specs->Specs->ColumnIndex), specs->Specs->SortDirection == ImGuiSortDirection_Descending);
    else std::iota(order_.begin(), order_.end(), std::size_t{0});
    specs->SpecsDirty = false;
  }
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(order_.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const std::size_t row = order_[static_cast<std::size_t>(i)];
      ImGui::TableNextRow();
      ImGui::PushID(static_cast<int>(row));
      for (std::size_t c = 0; c < count; ++c) {
        if (!ImGui::TableNextColumn()) continue;
        if (c == 0) {
          if (ImGui::Selectable("##row", false, ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowOverlap)) clicked = row;
          name_item(std::string(name) + "/row/" + std::to_string(row));
          ImGui::SameLine(0.0f, 0.0f);
        }
        draw_cell(row, c);
      }
      ImGui::PopID();
    }
  }
  ImGui::EndTable();
  return clicked;
}

}  // namespace vitrine
