#include "viewer/draw/token_flow.h"

#include <imgui.h>

#include <algorithm>
#include <utility>

#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr std::size_t measured_in_a_frame = 4096;
constexpr float padding = 2.0f, leading = 5.0f;  // pixels beside and between spans

}  // namespace

void TokenFlow::set(std::vector<std::string> labels, std::vector<bool> ends_line) {
  labels_ = std::move(labels);
  ends_line_ = std::move(ends_line);
  widths_.assign(labels_.size(), 0.0f);
  measured_ = laid_out_ = 0;
  code_points_ = false;
  font_ = 0.0f;
}

float TokenFlow::line_height() const { return ImGui::GetTextLineHeight() + leading; }

void TokenFlow::measure() {
  if (const float font = ImGui::GetFontSize(); font != font_) {
    font_ = font;
    measured_ = laid_out_ = 0;
  }
  const std::size_t end = std::min(labels_.size(), measured_ + measured_in_a_frame);
  for (; measured_ < end; ++measured_) {
    std::string& label = labels_[measured_];
    if (needs_code_points(label)) {
      label = drawable(label);
      code_points_ = true;
    }
    widths_[measured_] = ImGui::CalcTextSize(label.data(), label.data() + label.size()).x + 2 * padding;
  }
}

/// Goes on behind what was laid out for this width.
void TokenFlow::find_lines(float width) {
  if (width != width_ || laid_out_ == 0) {
    width_ = width;
    laid_out_ = 0;
    lines_.assign(1, 0);
  }
  if (laid_out_ == measured_) return;
  float x = 0.0f;
  std::size_t token = lines_.back();  // the last line anew
  for (; token < measured_; ++token) {
    const bool ended = token > lines_.back() && ends_line_[token - 1];
    if (ended || (token > lines_.back() && x + widths_[token] > width)) {
      lines_.push_back(token);
      x = 0.0f;
    }
    x += widths_[token];
  }
  laid_out_ = measured_;
}

std::optional<std::size_t> TokenFlow::token_at(Corner place, Corner origin) const {
  const float down = (place.y - origin.y) / line_height();
  if (down < 0.0f || down >= static_cast<float>(lines_.size())) return {};
  const auto line = static_cast<std::size_t>(down);
  const std::size_t end = line + 1 < lines_.size() ? lines_[line + 1] : laid_out_;
  float x = origin.x;
  for (std::size_t token = lines_[line]; token < end; ++token) {
    if (place.x >= x && place.x < x + widths_[token]) return token;
    x += widths_[token];
  }
  return {};
}

void TokenFlow::draw_line(std::string_view name, std::size_t line, Corner from, const Paint& paint) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const std::size_t end = line + 1 < lines_.size() ? lines_[line + 1] : laid_out_;
  const float height = ImGui::GetTextLineHeight() + 2.0f;
  for (std::size_t token = lines_[line]; token < end; ++token) {
    const ImVec2 to{from.x + widths_[token], from.y + height};
    const std::optional<Color> fill = paint.fill ? paint.fill(token) : std::nullopt;
    if (fill) list->AddRectFilled({from.x, from.y}, {to.x - 1.0f, to.y}, ink_of(*fill), 2.0f);
    const std::string& label = labels_[token];
    list->AddText({from.x + padding, from.y}, fill ? packed_ink_on(*fill) : ink(), label.data(), label.data() + label.size());
    if (paint.found && paint.found(token)) list->AddLine({from.x, to.y + 0.5f}, {to.x - 1.0f, to.y + 0.5f}, mark_ink(), 2.5f);
    if (token == paint.query) list->AddRect({from.x - 1.5f, from.y - 1.5f}, {to.x + 0.5f, to.y + 1.5f}, mark_ink(), 3.0f, 0, 2.5f);
    else if (token == paint.key) list->AddRect({from.x - 1.5f, from.y - 1.5f}, {to.x + 0.5f, to.y + 1.5f}, ink(), 3.0f, 0, 1.5f);
    name_rectangle(std::string(name) + "/" + std::to_string(token), {from, {to.x, to.y}});
    from.x = to.x;
  }
}

TokenFlow::Answer TokenFlow::draw(std::string_view name, Corner size, const Paint& paint) {
  Answer answer;
  measure();
  ImGui::BeginChild(std::string(name).c_str(), {size.x, size.y}, ImGuiChildFlags_None, ImGuiWindowFlags_NoNavInputs);
  const float height = line_height();
  find_lines(std::max(40.0f, ImGui::GetWindowWidth() - ImGui::GetStyle().ScrollbarSize - 8.0f));
  const ImVec2 cursor = ImGui::GetCursorScreenPos();
  const Corner origin{cursor.x + 3.0f, cursor.y + 3.0f};
  ImGui::InvisibleButton("tokens", {std::max(width_, 1.0f), height * static_cast<float>(lines_.size()) + 6.0f});
  name_item(name);
  if (wanted_ && *wanted_ < laid_out_) {
    const auto line = static_cast<std::size_t>(std::ranges::upper_bound(lines_, *wanted_) - lines_.begin()) - 1;
    const float top = height * static_cast<float>(line), seen = ImGui::GetScrollY(), room = ImGui::GetWindowHeight();
    if (top < seen || top + 2 * height > seen + room) ImGui::SetScrollY(std::max(0.0f, top - room / 3));
    wanted_.reset();
  }
  const float top = ImGui::GetWindowPos().y, bottom = top + ImGui::GetWindowHeight();
  const auto first = static_cast<std::size_t>(std::max(0.0f, (top - origin.y) / height));
  for (std::size_t line = first; line < lines_.size() && origin.y + height * static_cast<float>(line) < bottom; ++line) {
    draw_line(name, line, {origin.x, origin.y + height * static_cast<float>(line)}, paint);
  }
  if (ImGui::IsItemHovered()) {
    const ImVec2 mouse = ImGui::GetMousePos();
    answer.hovered = token_at({mouse.x, mouse.y}, origin);
    if (ImGui::IsMouseReleased(ImGuiMouseButton_Left)) answer.clicked = answer.hovered;
  }
  ImGui::EndChild();
  return answer;
}

}  // namespace vitrine
