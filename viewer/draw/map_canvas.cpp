#include "viewer/draw/map_canvas.h"

#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "viewer/draw/ink.h"

namespace vitrine {
namespace {

constexpr double largest_token = 160.0;  // pixels
constexpr float label_room = 132.0f, least_area = 48.0f;
constexpr const char *key_caption = "keys (are read) \u2192", *query_caption = "queries (read) \u2193";

/// Every how manieth token has room for a label.
std::size_t label_step(double pixels) {
  const double line = static_cast<double>(ImGui::GetTextLineHeight()) + 1.0;
  return static_cast<std::size_t>(std::max(1.0, std::ceil(line / pixels)));
}

/// Where tokens are left out, positions say so.
std::string label_of(const std::vector<std::string>& labels, std::size_t token, std::size_t step) {
  return step > 1 ? std::to_string(token) + " " + labels[token] : labels[token];
}

float longest_label(const std::vector<std::string>& labels) {
  float most = 0.0f;
  const std::size_t step = std::max<std::size_t>(1, labels.size() / 400);  // a sample of a long text
  for (std::size_t i = 0; i < labels.size(); i += step) most = std::max(most, ImGui::CalcTextSize(label_of(labels, i, 2).c_str()).x);
  return most;
}

}  // namespace

void MapCanvas::place(const Rectangle& area, std::size_t queries, std::size_t keys) {
  const double width = area.to.x - area.from.x, height = area.to.y - area.from.y;
  const double whole = std::min(width / static_cast<double>(keys), height / static_cast<double>(queries));
  if (fitted_) porthole_ = {0.0, 0.0, whole};
  porthole_.pixels = std::clamp(porthole_.pixels, std::min(whole, largest_token), largest_token);
  const auto within = [&](double at, double count, double seen) { return std::clamp(at, 0.0, std::max(0.0, count - seen)); };
  porthole_.top = within(porthole_.top, static_cast<double>(queries), height / porthole_.pixels);
  porthole_.left = within(porthole_.left, static_cast<double>(keys), width / porthole_.pixels);
  last_size_ = {static_cast<float>(width), static_cast<float>(height)};
}

void MapCanvas::zoom(double factor) {
  fitted_ = false;
  const double pixels = std::min(porthole_.pixels * factor, largest_token);
  porthole_.top += last_size_.y / 2.0 * (1.0 / porthole_.pixels - 1.0 / pixels);
  porthole_.left += last_size_.x / 2.0 * (1.0 / porthole_.pixels - 1.0 / pixels);
  porthole_.pixels = pixels;
}

void MapCanvas::pan(double tokens_right, double tokens_down) {
  fitted_ = false;
  porthole_.left += tokens_right;
  porthole_.top += tokens_down;
}

void MapCanvas::show_query(std::size_t query) {
  const double seen = last_size_.y / porthole_.pixels, at = static_cast<double>(query);
  if (at >= porthole_.top && at + 1.0 <= porthole_.top + seen) return;
  porthole_.top = at - seen / 2.0;
}

void MapCanvas::navigate(const Rectangle& area) {
  const ImGuiIO& io = ImGui::GetIO();
  const bool hovered = ImGui::IsItemHovered(), held = ImGui::IsItemActive();
  if (hovered && io.MouseWheel != 0.0f) {
    const double x = io.MousePos.x - area.from.x, y = io.MousePos.y - area.from.y;
    const double pixels = std::min(porthole_.pixels * std::pow(1.18, io.MouseWheel), largest_token);
    porthole_.left += x / porthole_.pixels - x / pixels;  // what is under the pointer stays there
    porthole_.top += y / porthole_.pixels - y / pixels;
    porthole_.pixels = pixels;
    fitted_ = false;
  }
  if (held && ImGui::IsMouseDragging(ImGuiMouseButton_Left)) pan(-io.MouseDelta.x / porthole_.pixels, -io.MouseDelta.y / porthole_.pixels);
  if (hovered && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) fit();
}

void MapCanvas::draw_labels(const Rectangle& area, const Axes& axes, const Marks& marks, Corner origin) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const double pixels = porthole_.pixels;
  const std::size_t step = label_step(pixels);
  const float line = ImGui::GetTextLineHeight();
  const auto first = [&](double start) { return (static_cast<std::size_t>(std::max(start, 0.0)) + step - 1) / step * step; };
  const auto row_label = [&](std::size_t i, std::uint32_t color) {
    const auto y = static_cast<float>(area.from.y + (static_cast<double>(i) - porthole_.top + 0.5) * pixels);
    if (y < area.from.y || y > area.to.y) return;
    const std::string text = label_of(*axes.queries, i, step);
    list->AddText({std::max(origin.x, area.from.x - 6 - ImGui::CalcTextSize(text.c_str()).x), y - line / 2}, color, text.c_str());
  };
  const auto column_label = [&](std::size_t j, std::uint32_t color) {
    const auto x = static_cast<float>(area.from.x + (static_cast<double>(j) - porthole_.left + 0.5) * pixels);
    if (x < area.from.x || x > area.to.x) return;
    upward_text({x - line / 2, area.from.y - 5}, origin, color, label_of(*axes.keys, j, step));
  };
  // A chosen token's own label comes in place of those beside it.
  const auto apart = [&](std::size_t token, const std::optional<std::size_t>& chosen) { return !chosen || std::max(token, *chosen) - std::min(token, *chosen) >= step; };
  list->PushClipRect({origin.x, origin.y}, {area.to.x + line, area.to.y + line}, true);
  for (std::size_t i = first(porthole_.top); i < axes.queries->size() && static_cast<double>(i) < porthole_.top + last_size_.y / pixels; i += step) {
    if (apart(i, marks.query)) row_label(i, ink());
  }
  for (std::size_t j = first(porthole_.left); j < axes.keys->size() && static_cast<double>(j) < porthole_.left + last_size_.x / pixels; j += step) {
    if (apart(j, marks.key)) column_label(j, ink());
  }
  if (marks.query) row_label(*marks.query, mark_ink());
  if (marks.key) column_label(*marks.key, mark_ink());
  if (area.from.x - origin.x > ImGui::CalcTextSize(key_caption).x) {  // else it would lie on the first label
    list->AddText({origin.x, area.from.y - 2 * line - 6}, faint_ink(), key_caption);
    list->AddText({origin.x, area.from.y - line - 4}, faint_ink(), query_caption);
  }
  list->PopClipRect();
}

void MapCanvas::draw_marks(const Rectangle& area, const Marks& marks) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const auto token = static_cast<float>(std::max(porthole_.pixels, 2.0));
  if (marks.query) {
    const auto y = static_cast<float>(area.from.y + (static_cast<double>(*marks.query) - porthole_.top) * porthole_.pixels);
    list->AddRect({area.from.x, y - 1}, {area.to.x, y + token + 1}, mark_ink(), 0.0f, 0, 1.5f);
  }
  if (marks.key) {
    const auto x = static_cast<float>(area.from.x + (static_cast<double>(*marks.key) - porthole_.left) * porthole_.pixels);
    list->AddRect({x - 1, area.from.y}, {x + token + 1, area.to.y}, mark_ink(), 0.0f, 0, 1.5f);
  }
}

MapCanvas::Answer MapCanvas::draw(std::string_view name, Corner size, const Axes& axes, const Marks& marks, const std::function<void(const Rectangle& area)>& paint) {
  const ImVec2 cursor = ImGui::GetCursorScreenPos();
  const Corner origin{cursor.x, cursor.y};
  const float most_room = std::min(label_room * ImGui::GetStyle().FontScaleMain, size.x / 3);
  const float left = std::clamp(longest_label(*axes.queries) + 10.0f, std::min(ImGui::CalcTextSize(key_caption).x + 8.0f, most_room), most_room);
  const float top = std::clamp(longest_label(*axes.keys) + 10.0f, 2 * ImGui::GetTextLineHeight() + 10.0f, std::min(most_room, size.y / 3));
  Rectangle area{{origin.x + left, origin.y + top}, {origin.x + std::max(size.x, left + least_area), origin.y + std::max(size.y, top + least_area)}};
  ImGui::SetCursorScreenPos({area.from.x, area.from.y});
  const std::string id(name);
  ImGui::InvisibleButton(id.c_str(), {area.to.x - area.from.x, area.to.y - area.from.y});
  name_item(name);
  Answer answer{area, {}, {}};
  navigate(area);
  place(area, axes.queries->size(), axes.keys->size());
  // A map that is smaller than its room ends where its tokens do.
  const auto end = [&](float from, double count, double at, float most) { return std::min(most, static_cast<float>(from + (count - at) * porthole_.pixels)); };
  answer.area.to = {end(area.from.x, static_cast<double>(axes.keys->size()), porthole_.left, area.to.x), end(area.from.y, static_cast<double>(axes.queries->size()), porthole_.top, area.to.y)};
  ImGui::PushClipRect({area.from.x, area.from.y}, {answer.area.to.x, answer.area.to.y}, true);
  paint(answer.area);
  draw_marks(answer.area, marks);
  ImGui::PopClipRect();
  draw_labels(answer.area, axes, marks, origin);
  if (ImGui::IsItemHovered()) {
    const ImVec2 mouse = ImGui::GetMousePos();
    const double query = porthole_.top + (mouse.y - area.from.y) / porthole_.pixels, key = porthole_.left + (mouse.x - area.from.x) / porthole_.pixels;
    if (query >= 0.0 && key >= 0.0 && query < static_cast<double>(axes.queries->size()) && key < static_cast<double>(axes.keys->size())) {
      answer.hovered = {static_cast<std::size_t>(query), static_cast<std::size_t>(key)};
    }
    const ImVec2 dragged = ImGui::GetMouseDragDelta(ImGuiMouseButton_Left);
    if (ImGui::IsMouseReleased(ImGuiMouseButton_Left) && dragged.x == 0.0f && dragged.y == 0.0f) answer.clicked = answer.hovered;
  }
  return answer;
}

Json MapCanvas::state() const {
  if (fitted_) return Json::object().set("fitted", true);
  return Json::object().set("fitted", false).set("top", porthole_.top).set("left", porthole_.left).set("pixels", porthole_.pixels);
}

void MapCanvas::restore(const Json& json) {
  fitted_ = !(json["fitted"].is_bool() && !json["fitted"].boolean());
  const Json &top = json["top"], &left = json["left"], &pixels = json["pixels"];
  if (!top.is_number() || !left.is_number() || !pixels.is_number() || !(pixels.number() > 0.0)) return;
  porthole_ = {top.number(), left.number(), std::clamp(pixels.number(), 1e-4, largest_token)};
}

float color_bar_width() { return 92.0f * ImGui::GetStyle().FontScaleMain; }

void draw_color_bar(Corner from, float height, const ColorScale& scale, const std::vector<std::string>& caption) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float line = ImGui::GetTextLineHeight(), unit = ImGui::GetStyle().FontScaleMain, width = 14.0f * unit, gap = 8.0f * unit;
  float y = from.y;
  for (const std::string& each : caption) {
    list->AddText({from.x, y}, ink(), each.c_str());
    y += line;
  }
  y += 6.0f;
  const float bar = std::max(40.0f, height - (y - from.y) - 2 * line - 16.0f);
  constexpr int strips = 64;
  for (int i = 0; i < strips; ++i) {
    const float top = y + bar * (1.0f - static_cast<float>(i + 1) / strips);
    list->AddRectFilled({from.x, top}, {from.x + width, top + bar / strips + 1}, ink_of(color_at(scale.colors, (i + 0.5) / strips)));
  }
  const double low = scale.low, high = scale.high;
  for (const double at : {0.0, 0.25, 0.5, 0.75, 1.0}) {  // places on the bar, and the number that has this colour
    double value = low + at * (high - low);
    if (scale.spread == ColorSpread::square_root) value = low + at * at * (high - low);
    if (scale.spread == ColorSpread::logarithmic) {
      const double least = low > 0.0 ? low : high * 1e-6;
      value = least * std::pow(high / least, at);
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", value);
    const float tick = y + bar * static_cast<float>(1.0 - at);
    list->AddLine({from.x + width, tick}, {from.x + width + gap / 2, tick}, faint_ink());
    list->AddText({from.x + width + gap, tick - (at == 0.0 ? line : at == 1.0 ? 0.0f : line / 2)}, ink(), text);
  }
  const float below = y + bar + gap, box = 12.0f * unit;
  list->AddRect({from.x, below + 2}, {from.x + width, below + 2 + box}, faint_ink());
  list->AddLine({from.x, below + 2 + box}, {from.x + width, below + 2}, faint_ink());
  list->AddText({from.x + width + gap, below}, faint_ink(), "masked");
}

void same_line_where_room(float width) {
  ImGui::SameLine();
  if (ImGui::GetContentRegionAvail().x < width) ImGui::NewLine();
}

bool edit_color_scale(ColorScale& scale) {
  const ColorScale before = scale;
  const float unit = ImGui::GetFontSize();
  const auto choose = [&](const char* name, const char* shown, std::initializer_list<const char*> names, int chosen) {
    float longest = 0.0f;
    for (const char* each : names) longest = std::max(longest, ImGui::CalcTextSize(each).x);
    ImGui::SetNextItemWidth(longest + ImGui::GetFrameHeight() + 2 * ImGui::GetStyle().FramePadding.x);
    if (ImGui::BeginCombo(name, shown)) {
      int i = 0;
      for (const char* each : names) {
        if (ImGui::Selectable(each, i == chosen)) chosen = i;
        ++i;
      }
      ImGui::EndCombo();
    }
    name_item(std::string("colors/") + (name + 2));
    same_line_where_room(8.5f * unit);
    return chosen;
  };
  constexpr std::array maps{ColorMap::viridis, ColorMap::cividis, ColorMap::greys};
  const auto map = static_cast<int>(std::find(maps.begin(), maps.end(), scale.colors) - maps.begin());
  scale.colors = maps[static_cast<std::size_t>(std::min(choose("##map", std::string(color_map_name(scale.colors)).c_str(), {"viridis", "cividis", "greys"}, map), 2))];
  static constexpr const char* spreads[] = {"linear", "square root", "logarithm"};
  scale.spread = static_cast<ColorSpread>(choose("##spread", spreads[static_cast<int>(scale.spread)], {spreads[0], spreads[1], spreads[2]}, static_cast<int>(scale.spread)));
  static constexpr const char* reductions[] = {"largest of a cell", "mean of a cell"};
  scale.reduction = static_cast<Reduction>(choose("##reduction", reductions[static_cast<int>(scale.reduction)], {reductions[0], reductions[1]}, static_cast<int>(scale.reduction)));
  ImGui::SetNextItemWidth(6.0f * unit);
  ImGui::DragFloat("##high", &scale.high, 0.005f, 1e-4f, 1.0f, "up to %.4g", ImGuiSliderFlags_AlwaysClamp | ImGuiSliderFlags_Logarithmic);
  ImGui::SetItemTooltip("what the brightest colour stands for; more is white. Double click to type");
  name_item("colors/high");
  return before.low != scale.low || before.high != scale.high || before.spread != scale.spread || before.colors != scale.colors || before.reduction != scale.reduction;
}

}  // namespace vitrine
