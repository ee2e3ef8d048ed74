#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"
#include "viewer/data/background.h"
#include "viewer/data/links.h"
#include "viewer/draw/color_strip.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/map_texts.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"

// Who reads whom, as lines: the queries of a head or layer beside the keys that they read most, and what one token reads layer by layer.

namespace vitrine {
namespace {

constexpr std::size_t most_links = 8, most_lines = 1500, most_rows = 400;
constexpr float smallest_square = 3.0f;  // pixels: what is smaller is merged
constexpr double largest_token = 40.0;

/// Colours of Okabe & Ito (2008) without black, which people tell apart who see few colours.
constexpr std::array head_inks{IM_COL32(230, 159, 0, 255), IM_COL32(86, 180, 233, 255), IM_COL32(0, 158, 115, 255),   IM_COL32(240, 228, 66, 255),
                               IM_COL32(0, 114, 178, 255), IM_COL32(213, 94, 0, 255),   IM_COL32(204, 121, 167, 255), IM_COL32(150, 150, 155, 255)};

std::uint32_t with_alpha(std::uint32_t color, float alpha) {
  return (color & 0x00ffffffu) | static_cast<std::uint32_t>(std::clamp(alpha, 0.0f, 1.0f) * 255.0f) << IM_COL32_A_SHIFT;
}

class ArcsView : public PanelView {
 public:
  explicit ArcsView(const DocumentPointer& document) : document_(document), recording_(*document->recording) {}
  void draw(Desk& desk) override;
  bool busy() const override { return links_job_ != nullptr || layers_job_ != nullptr; }
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  using Module = Recording::Module;
  const Module& module(const Selection& selection) const { return recording_.modules()[selection.layer]; }
  MapId map(const Selection& selection) const { return {document_, selection.layer, selection.head, selection.sequence}; }
  LinkOrder link_order(const Selection& selection, double rows) const;
  LayerOrder layer_order(const Selection& selection) const;
  void refresh_links(const LinkOrder& wanted);
  void refresh_layers(const LayerOrder& wanted);
  void draw_header(Desk& desk);
  void draw_heads(Desk& desk);
  void draw_columns(Desk& desk);
  void navigate(Desk& desk, Corner from, Corner to);
  void draw_lines(const Selection& selection, Corner left, Corner right, float height) const;
  void draw_labels(const Selection& selection, Corner left, Corner right, float height) const;
  void draw_layers(Desk& desk);
  void draw_layer(Desk& desk, std::size_t layer, Corner at, float next, const std::map<std::size_t, float>& rows);
  std::map<std::size_t, float> rows_of_layers(std::size_t own, float top, float height);
  /// The row of the chosen token's own line: its own, or one below all keys where those are another text's.
  std::size_t own_row(const Selection& selection) const {
    return module(selection).queries == module(selection).keys ? *selection.query : static_cast<std::size_t>(-1);
  }
  std::uint32_t ink_of_link(const Link& link) const { return all_heads_ ? head_inks[link.head % head_inks.size()] : mark_ink(); }
  std::size_t square() const;
  double y_of(double token) const { return (token + 0.5 - top_) * pixels_; }
  void fit(float height);

  DocumentPointer document_;
  const Recording& recording_;
  MapTexts texts_;

  bool through_layers_ = false, all_heads_ = false, mean_ = false, without_first_ = false;
  int most_ = 3;
  double top_ = 0.0, pixels_ = 0.0;  // first token in sight, and a token's height; 0: not yet known
  float height_ = 0.0f;              // of the columns, in the last frame
  bool fit_ = false;
  std::optional<std::size_t> seen_query_, hovered_;

  HeadShelf shelf_;
  std::optional<LinkOrder> links_of_, links_wanted_;
  std::vector<Link> links_;
  std::unique_ptr<Background<std::vector<Link>>> links_job_;
  std::optional<LayerOrder> layers_of_, layers_wanted_;
  std::vector<LayerLinks> layers_;
  std::unique_ptr<Background<std::vector<LayerLinks>>> layers_job_;
  std::string note_;
};

Json ArcsView::state() const {
  return Json::object()
      .set("layers", through_layers_)
      .set("all", all_heads_)
      .set("mean", mean_)
      .set("without_first", without_first_)
      .set("most", most_)
      .set("top", top_)
      .set("pixels", pixels_);
}

void ArcsView::restore(const Json& json) {
  const auto flag = [&](const char* name, bool& value) { value = json[name].is_bool() ? json[name].boolean() : value; };
  flag("layers", through_layers_), flag("all", all_heads_), flag("mean", mean_), flag("without_first", without_first_);
  if (json["most"].is_integer()) most_ = static_cast<int>(std::clamp<std::int64_t>(json["most"].integer(), 1, most_links));
  if (json["top"].is_number() && json["pixels"].is_number() && json["pixels"].number() > 0.0)
    top_ = json["top"].number(), pixels_ = std::min(json["pixels"].number(), largest_token);
}

std::size_t ArcsView::square() const {
  std::size_t cell = 1;
  while (pixels_ > 0.0 && static_cast<double>(cell) * pixels_ < static_cast<double>(smallest_square)) cell *= 2;
  return cell;
}

/// Queries in sight and half as many on each side, in steps, so that not every movement asks anew.
LinkOrder ArcsView::link_order(const Selection& selection, double rows) const {
  LinkOrder order{
      .map = map(selection), .all_heads = all_heads_, .cell = square(), .most = static_cast<std::size_t>(most_), .without_first = without_first_};
  if (all_heads_) order.map.head = 0;
  std::size_t step = order.cell * 16;
  while (static_cast<double>(step) < rows / 2) step *= 2;
  const auto place = static_cast<std::size_t>(std::max(0.0, top_ - rows / 2));
  order.first = place / step * step;
  const auto end = static_cast<std::size_t>(std::max(0.0, top_ + 1.5 * rows)) / step * step + step;
  order.rows = std::min(end, texts_.query_labels.size()) - std::min(order.first, texts_.query_labels.size());
  return order;
}

LayerOrder ArcsView::layer_order(const Selection& selection) const {
  LayerOrder order{.map = map(selection),
                   .mean = mean_,
                   .query = selection.query.value_or(0),
                   .most = static_cast<std::size_t>(most_),
                   .without_first = without_first_};
  if (mean_) order.map.head = 0;
  const auto modules = recording_.modules();  // any layer of the same sides stands for all
  order.map.module = static_cast<std::size_t>(
      std::ranges::find_if(modules,
                           [&](const Module& each) { return each.queries == module(selection).queries && each.keys == module(selection).keys; }) -
      modules.begin());
  return order;
}

void ArcsView::refresh_links(const LinkOrder& wanted) {
  if (links_job_ && links_job_->done()) {
    note_ = links_job_->error();
    links_ = links_job_->answer().value_or(std::vector<Link>());
    links_of_ = links_wanted_;
    links_job_.reset();
  }
  if (links_job_ || links_of_ == wanted) return;
  links_wanted_ = wanted;
  links_job_ =
      std::make_unique<Background<std::vector<Link>>>([this, wanted](Run& run) { return strongest_links(wanted, shelf_, run); }, wake_window);
}

void ArcsView::refresh_layers(const LayerOrder& wanted) {
  if (layers_job_ && layers_job_->done()) {
    note_ = layers_job_->error();
    layers_ = layers_job_->answer().value_or(std::vector<LayerLinks>());
    layers_of_ = layers_wanted_;
    layers_job_.reset();
  }
  if (layers_job_ || layers_of_ == wanted) return;
  layers_wanted_ = wanted;
  layers_job_ = std::make_unique<Background<std::vector<LayerLinks>>>([this, wanted](Run& run) { return links_through_layers(wanted, shelf_, run); },
                                                                      wake_window);
}

void ArcsView::draw_header(Desk& desk) {
  const Selection& selection = desk.selection;
  if (ImGui::RadioButton("one layer", !through_layers_)) through_layers_ = false;
  name_item("arcs/one_layer");
  ImGui::SameLine();
  if (ImGui::RadioButton("through layers", through_layers_)) through_layers_ = true;
  name_item("arcs/through_layers");
  ImGui::SameLine();
  if (through_layers_) ImGui::Checkbox("mean of heads", &mean_);
  else ImGui::Checkbox("all heads", &all_heads_);
  name_item("arcs/all");
  ImGui::SameLine();
  ImGui::Checkbox("without the first token", &without_first_);
  name_item("arcs/without_first");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(8.0f * ImGui::GetFontSize());
  ImGui::SliderInt("##most", &most_, 1, most_links, "strongest %d", ImGuiSliderFlags_AlwaysClamp);
  ImGui::SetItemTooltip("so many keys of each query");
  name_item("arcs/most");
  if (!through_layers_) {
    ImGui::SameLine();
    if (ImGui::Button("whole text")) fit_ = true;
    name_item("arcs/fit");
  }
  ImGui::PushStyleColor(ImGuiCol_Text, mark_ink());
  if (through_layers_)
    ImGui::Text("%s", mean_ ? "mean of each layer's heads" : ("head " + std::to_string(selection.head) + " of each layer").c_str());
  else ImGui::Text("%s, %s", module(selection).name.c_str(), all_heads_ ? "all heads" : ("head " + std::to_string(selection.head)).c_str());
  ImGui::PopStyleColor();
  ImGui::SameLine();
  const std::size_t cell = square();
  if (!through_layers_ && cell > 1) ImGui::TextDisabled("a line is the largest weight of %zu x %zu pairs", cell, cell);
  else ImGui::TextDisabled("%s", busy() ? "reading" : "query \u2190 key: a line is as strong as the weight");
  if (!note_.empty()) ImGui::TextWrapped("%s", note_.c_str());
}

/// Which colour is which head; a click chooses it alone.
void ArcsView::draw_heads(Desk& desk) {
  const float unit = ImGui::GetFontSize();
  for (std::size_t head = 0; head < module(desk.selection).heads; ++head) {
    if (head > 0) ImGui::SameLine(0.0f, 3.0f);
    if (ImGui::GetContentRegionAvail().x < 2.2f * unit) ImGui::NewLine();
    ImGui::PushID(static_cast<int>(head));
    const ImVec4 color = ImGui::ColorConvertU32ToFloat4(head_inks[head % head_inks.size()]);
    ImGui::PushStyleColor(ImGuiCol_Button, color);
    ImGui::PushStyleColor(ImGuiCol_Text, IM_COL32(0, 0, 0, 255));
    if (ImGui::SmallButton(std::to_string(head).c_str())) {
      desk.selection.head = head;
      all_heads_ = false;
    }
    name_item("arcs/head/" + std::to_string(head));
    ImGui::PopStyleColor(2);
    ImGui::PopID();
  }
}

void ArcsView::fit(float height) {
  const std::size_t longest = std::max(texts_.query_labels.size(), texts_.key_labels.size());
  top_ = 0.0;
  pixels_ = std::min(static_cast<double>(height) / static_cast<double>(std::max<std::size_t>(longest, 1)),
                     static_cast<double>(ImGui::GetTextLineHeightWithSpacing()));
}

void ArcsView::navigate(Desk& desk, Corner from, Corner to) {
  Selection& selection = desk.selection;
  height_ = to.y - from.y;
  const double height = static_cast<double>(height_), longest = static_cast<double>(std::max(texts_.query_labels.size(), texts_.key_labels.size()));
  const ImGuiIO& io = ImGui::GetIO();
  const bool hovered = ImGui::IsItemHovered();
  if (hovered && io.MouseWheel != 0.0f) {
    if (io.KeyCtrl) {
      const double place = top_ + static_cast<double>(io.MousePos.y - from.y) / pixels_;
      pixels_ = std::clamp(pixels_ * std::pow(1.25, static_cast<double>(io.MouseWheel)), height / longest / 2, largest_token);
      top_ = place - static_cast<double>(io.MousePos.y - from.y) / pixels_;
    } else {
      top_ -= static_cast<double>(io.MouseWheel) * height * 0.12 / pixels_;
    }
  }
  if (ImGui::IsItemActive() && ImGui::IsMouseDragging(ImGuiMouseButton_Left)) top_ -= static_cast<double>(io.MouseDelta.y) / pixels_;
  if (seen_query_ != selection.query && selection.query) {  // another panel chose it
    const double y = y_of(static_cast<double>(*selection.query)), margin = std::min(height / 4, 3 * pixels_);
    if (y < margin || y > height - margin) top_ = static_cast<double>(*selection.query) - height / pixels_ / 2;
  }
  top_ = std::clamp(top_, 0.0, std::max(0.0, longest - height / pixels_));
  hovered_.reset();
  if (!hovered) return;
  const double token = std::floor(top_ + static_cast<double>(io.MousePos.y - from.y) / pixels_);
  const bool left = io.MousePos.x < (from.x + to.x) / 2;
  if (token < 0.0 || token >= static_cast<double>(left ? texts_.query_labels.size() : texts_.key_labels.size())) return;
  const auto place = static_cast<std::size_t>(token);
  if (left) hovered_ = place;
  ImGui::SetTooltip("%s %zu   %s", left ? "query" : "key", place, (left ? texts_.query_labels : texts_.key_labels)[place].c_str());
  const ImVec2 dragged = ImGui::GetMouseDragDelta(ImGuiMouseButton_Left);
  if (ImGui::IsMouseReleased(ImGuiMouseButton_Left) && dragged.y == 0.0f) (left ? selection.query : selection.key) = place;
}

/// The strongest of those in sight; the chosen query's in front of all others.
void ArcsView::draw_lines(const Selection& selection, Corner left, Corner right, float height) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const std::optional<std::size_t> focus = hovered_ ? hovered_ : selection.query;
  const std::size_t cell = links_of_ ? links_of_->cell : 1;
  const auto chosen = [&](const Link& link) { return focus && *focus / cell == link.query / cell; };
  std::vector<const Link*> seen;
  for (const Link& link : links_) {
    const double y = y_of(link.query);
    if (y > -20.0 && y < static_cast<double>(height) + 20.0) seen.push_back(&link);
  }
  if (seen.size() > most_lines) {
    std::ranges::nth_element(seen, seen.begin() + most_lines,
                             [&](const Link* a, const Link* b) { return std::pair(chosen(*a), a->weight) > std::pair(chosen(*b), b->weight); });
    seen.resize(most_lines);
  }
  std::ranges::stable_partition(seen, [&](const Link* each) { return !chosen(*each); });
  const double shift = (static_cast<double>(cell) - 1.0) / 2.0;
  for (const Link* link : seen) {
    const float from = static_cast<float>(y_of(link->query + shift)),
                to = static_cast<float>(std::clamp(y_of(link->key + shift), -4.0, static_cast<double>(height) + 4.0));
    const float strength = std::sqrt(link->weight), alpha = !focus          ? 0.1f + 0.9f * strength
                                                            : chosen(*link) ? 0.25f + 0.75f * strength
                                                                            : 0.22f * strength;
    list->AddLine({left.x, left.y + from}, {right.x, right.y + to}, with_alpha(ink_of_link(*link), alpha), 1.0f + 2.5f * link->weight);
  }
}

void ArcsView::draw_labels(const Selection& selection, Corner left, Corner right, float height) const {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float line = ImGui::GetTextLineHeight();
  const std::optional<std::size_t> focus = hovered_ ? hovered_ : selection.query;
  std::map<std::size_t, float> read;  // by the token in focus
  for (const Link& link : links_) {
    if (focus && link.query == *focus && links_of_ && links_of_->cell == 1) read[link.key] = std::max(read[link.key], link.weight);
  }
  const auto every = static_cast<std::size_t>(std::max(1.0, std::ceil(static_cast<double>(line - 1.0f) / pixels_)));
  const auto first = static_cast<std::size_t>(top_) / every * every;
  for (std::size_t token = first;
       y_of(static_cast<double>(token)) < static_cast<double>(height) && token < std::max(texts_.query_labels.size(), texts_.key_labels.size()); token += every) {
    const float y = static_cast<float>(y_of(static_cast<double>(token))) - line / 2;
    if (y < -line) continue;
    const auto label = [&](const std::vector<std::string>& labels) {
      return every > 1 ? std::to_string(token) + " " + labels[token] : labels[token];
    };
    if (token < texts_.query_labels.size()) {
      const std::string text = label(texts_.query_labels);
      const ImVec2 at{left.x - 8.0f - ImGui::CalcTextSize(text.c_str()).x, left.y + y};
      list->AddText(at, selection.query == token ? mark_ink() : ink(), text.c_str());
      name_rectangle("arcs/query/" + std::to_string(token), {{at.x, at.y}, {left.x - 4.0f, at.y + line}});
    }
    if (token < texts_.key_labels.size()) {
      const std::string text = label(texts_.key_labels);
      const Corner from{right.x + 8.0f, right.y + y}, to{from.x + ImGui::CalcTextSize(text.c_str()).x, from.y + line};
      const auto found = read.find(token);
      if (found != read.end())
        list->AddRectFilled({from.x - 3.0f, from.y}, {to.x + 3.0f, to.y}, with_alpha(mark_ink(), 0.15f + 0.5f * std::sqrt(found->second)), 2.0f);
      list->AddText({from.x, from.y}, selection.key == token ? mark_ink() : ink(), text.c_str());
      name_rectangle("arcs/key/" + std::to_string(token), {from, to});
    }
  }
  const std::optional<std::size_t> kept = selection.query;
  if (kept && y_of(static_cast<double>(*kept)) >= 0.0) {
    const float y = left.y + static_cast<float>(y_of(static_cast<double>(*kept)));
    list->AddTriangleFilled({left.x - 6.0f, y - 4.0f}, {left.x - 6.0f, y + 4.0f}, {left.x, y}, mark_ink());
  }
}

void ArcsView::draw_columns(Desk& desk) {
  if (all_heads_) draw_heads(desk);
  const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
  if (room.y < 30.0f || room.x < 120.0f) return;
  if (pixels_ <= 0.0) pixels_ = static_cast<double>(ImGui::GetTextLineHeight() + 2.0f);
  if (fit_) fit(room.y);
  fit_ = false;
  ImGui::InvisibleButton("columns", room);
  name_item("arcs/columns");
  navigate(desk, {origin.x, origin.y}, {origin.x + room.x, origin.y + room.y});
  const Selection& selection = desk.selection;
  seen_query_ = selection.query;
  refresh_links(link_order(selection, static_cast<double>(room.y) / pixels_));
  const float side = std::min(room.x * 0.3f, 12.0f * ImGui::GetFontSize());
  const Corner left{origin.x + side, origin.y}, right{origin.x + room.x - side, origin.y};
  ImGui::PushClipRect(origin, {origin.x + room.x, origin.y + room.y}, true);
  const bool of_this = links_of_ && links_of_->map.module == selection.layer && links_of_->map.sequence == selection.sequence &&
                       links_of_->all_heads == all_heads_ && (all_heads_ || links_of_->map.head == selection.head);
  if (of_this) draw_lines(selection, left, right, room.y);
  draw_labels(selection, left, right, room.y);
  ImGui::PopClipRect();
}

/// The tokens that any layer reads, and the token itself, each with its height on the screen; the strongest, where there is no room for all.
std::map<std::size_t, float> ArcsView::rows_of_layers(std::size_t own, float top, float height) {
  std::map<std::size_t, float> strength;
  for (const LayerLinks& layer : layers_) {
    for (const Link& link : layer.links) strength[link.key] += link.weight;
  }
  const auto room = std::clamp<std::size_t>(static_cast<std::size_t>(height / (ImGui::GetTextLineHeight() + 1.0f)), 2, most_rows);
  std::vector<std::pair<float, std::size_t>> order;
  for (const auto& [token, sum] : strength) order.emplace_back(token == own ? 1e9f : sum, token);
  if (!strength.contains(own)) order.emplace_back(1e9f, own);
  std::ranges::sort(order, std::greater<>());
  note_ = order.size() > room
              ? std::to_string(order.size() - room) + " of " + std::to_string(order.size()) + " tokens, those that are read least, have no room here"
              : "";
  order.resize(std::min(order.size(), room));
  std::set<std::size_t> tokens;
  for (const auto& [sum, token] : order) tokens.insert(token);
  std::map<std::size_t, float> rows;
  const float step = std::min(height / static_cast<float>(tokens.size()), 1.7f * ImGui::GetTextLineHeight());
  for (const std::size_t token : tokens) rows[token] = top + step * (static_cast<float>(rows.size()) + 0.5f);
  return rows;
}

/// A layer's dots on the tokens that it reads, and the arcs to the token's own line, where the next layer begins.
void ArcsView::draw_layer(Desk& desk, std::size_t layer, Corner at, float next, const std::map<std::size_t, float>& rows) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float own = rows.at(own_row(desk.selection)), reach = next - at.x;
  for (std::size_t i = layers_[layer].links.size(); i-- > 0;) {
    const Link& link = layers_[layer].links[i];
    const auto row = rows.find(link.key);
    if (row == rows.end()) continue;
    const float strength = std::sqrt(link.weight);
    const std::uint32_t color =
        with_alpha(ink_of(color_at(light_look() ? ColorMap::cividis : ColorMap::viridis,
                                   light_look() ? 0.85 - 0.85 * static_cast<double>(strength) : 0.3 + 0.7 * static_cast<double>(strength))),
                   0.45f + 0.55f * strength);
    list->AddBezierCubic({at.x, row->second}, {at.x + reach * 0.6f, row->second}, {at.x + reach * 0.4f, own}, {next, own}, color,
                         1.0f + 3.0f * link.weight);
    const float radius = 2.0f + 4.0f * strength;
    list->AddCircleFilled({at.x, row->second}, radius, color);
    const Rectangle dot{{at.x - radius - 2.0f, row->second - radius - 2.0f}, {at.x + radius + 2.0f, row->second + radius + 2.0f}};
    name_rectangle("arcs/dot/" + std::to_string(layer) + "." + std::to_string(link.key), dot);
    if (!ImGui::IsItemHovered() || !ImGui::IsMouseHoveringRect({dot.from.x, dot.from.y}, {dot.to.x, dot.to.y})) continue;
    ImGui::SetTooltip("%s reads %zu %s with %.4f", recording_.modules()[layers_[layer].module].name.c_str(), static_cast<std::size_t>(link.key),
                      texts_.key_labels[link.key].c_str(), static_cast<double>(link.weight));
    if (!ImGui::IsMouseReleased(ImGuiMouseButton_Left)) continue;
    desk.selection.layer = layers_[layer].module;
    desk.selection.key = link.key;
  }
}

void ArcsView::draw_layers(Desk& desk) {
  Selection& selection = desk.selection;
  if (!selection.query) return ImGui::TextWrapped("Choose a token: click on it in the text, in a map, or in the columns of one layer.");
  const LayerOrder wanted = layer_order(selection);
  refresh_layers(wanted);
  const bool of_this = layers_of_ && layers_of_->query == wanted.query && layers_of_->map.module == wanted.map.module &&
                       layers_of_->map.sequence == wanted.map.sequence;
  const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
  if (layers_.empty() || !of_this || room.y < 60.0f) return ImGui::TextDisabled("reading");
  const float line = ImGui::GetTextLineHeight(), side = std::min(room.x * 0.25f, 13.0f * ImGui::GetFontSize());
  const auto rows = rows_of_layers(own_row(selection), origin.y + line + 4.0f, room.y - line - 8.0f);
  ImGui::InvisibleButton("layers", room);
  name_item("arcs/layers");
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float step = (room.x - side - 30.0f) / static_cast<float>(layers_.size()), own = rows.at(own_row(selection));
  list->AddText({origin.x, origin.y}, faint_ink(), "layer \u2192");
  for (const auto& [token, y] : rows) {
    const bool is_own = token == own_row(selection);
    const std::string text =
        is_own ? std::to_string(*selection.query) + " " + texts_.query_labels[*selection.query] : std::to_string(token) + " " + texts_.key_labels[token];
    list->AddLine({origin.x + side, y}, {origin.x + room.x - 8.0f, y}, is_own ? with_alpha(mark_ink(), 0.6f) : with_alpha(faint_ink(), 0.15f),
                  is_own ? 2.0f : 1.0f);
    list->AddText({origin.x + side - 8.0f - ImGui::CalcTextSize(text.c_str()).x, y - line / 2}, is_own ? mark_ink() : ink(), text.c_str());
  }
  float labelled = -1e9f;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const Corner at{origin.x + side + step * (static_cast<float>(layer) + 0.15f), own};
    draw_layer(desk, layer, at, origin.x + side + step * (static_cast<float>(layer) + 1.15f), rows);
    const std::string number = std::to_string(recording_.modules()[layers_[layer].module].block);
    const float wide = ImGui::CalcTextSize(number.c_str()).x;
    if (at.x < labelled + 6.0f) continue;
    labelled = at.x + wide;
    list->AddText({at.x - wide / 2, origin.y}, layers_[layer].module == selection.layer ? mark_ink() : ink(), number.c_str());
  }
}

void ArcsView::draw(Desk& desk) {
  if (recording_.modules().empty() || recording_.sequences() == 0)
    return ImGui::TextWrapped("This recording holds no attention: record with --attention factors.");
  texts_.load(*document_, desk.selection.sequence, desk.selection.layer);
  if (texts_.query_labels.empty() || texts_.key_labels.empty()) return ImGui::TextWrapped("This text holds no tokens yet.");
  draw_header(desk);
  through_layers_ ? draw_layers(desk) : draw_columns(desk);
}

std::vector<Action> ArcsView::actions(Desk& desk) {
  const auto zoom = [this](double factor) {
    const double middle = top_ + static_cast<double>(height_) / 2 / std::max(pixels_, 1e-9);
    pixels_ = std::clamp(pixels_ * factor, 1e-3, largest_token);
    top_ = middle - static_cast<double>(height_) / 2 / pixels_;
  };
  return {{"Arcs: one layer or through layers", ImGuiKey_T, [this] { through_layers_ = !through_layers_; }},
          {"Arcs: all heads, or their mean", ImGuiKey_M, [this] { through_layers_ ? mean_ = !mean_ : all_heads_ = !all_heads_; }},
          {"Arcs: with or without the first token", ImGuiKey_0, [this] { without_first_ = !without_first_; }},
          {"Arcs: more lines", ImGuiKey_Period, [this] { most_ = std::min(most_ + 1, static_cast<int>(most_links)); }},
          {"Arcs: fewer lines", ImGuiKey_Comma, [this] { most_ = std::max(most_ - 1, 1); }},
          {"Arcs: whole text", ImGuiKey_F, [this] { fit_ = true; }},
          {"Arcs: zoom in", ImGuiKey_Equal, [zoom] { zoom(1.5); }},
          {"Arcs: zoom out", ImGuiKey_Minus, [zoom] { zoom(1.0 / 1.5); }},
          {"Arcs: next query", ImGuiKey_J, [this, &desk] { step_query(desk.selection, texts_.query_labels.size(), 1); }},
          {"Arcs: previous query", ImGuiKey_K, [this, &desk] { step_query(desk.selection, texts_.query_labels.size(), -1); }},
          {"Arcs: no token chosen", ImGuiKey_Escape, [&desk] { desk.selection.query.reset(), desk.selection.key.reset(); }}};
}

/// Every line as a row of a table; through layers also as a grid.
Figure ArcsView::figure(Desk& desk) {
  const Selection& selection = desk.selection;
  if (recording_.modules().empty() || recording_.sequences() == 0)
    throw Error({document_->path.string(), "attention", "a recording without any", "record with --attention factors"});
  texts_.load(*document_, selection.sequence, selection.layer);
  Run run;
  Figure figure{.title = "Links of " + document_->path.filename().string(),
                .notes = {"the strongest " + std::to_string(most_) + " keys of each query" + (without_first_ ? ", without the first token" : "")}};
  FigureTable table{.title = "links", .header = {"module", "head", "query", "query token", "key", "key token", "weight"}};
  const auto add = [&](std::size_t place, const Link& link, bool mean) {
    table.rows.push_back({recording_.modules()[place].name, mean ? "mean" : std::to_string(link.head), std::to_string(link.query),
                          texts_.queries.labels[link.query], std::to_string(link.key), texts_.keys.labels[link.key], exact_text(static_cast<double>(link.weight))});
  };
  if (!through_layers_) {
    LinkOrder order = link_order(selection, 64.0);
    order.cell = 1, order.first = selection.query.value_or(static_cast<std::size_t>(top_)),
    order.rows = selection.query ? 1 : std::min<std::size_t>(64, texts_.query_labels.size() - std::min(order.first, texts_.query_labels.size()));
    for (const Link& link : strongest_links(order, shelf_, run)) add(selection.layer, link, false);
  } else {
    if (!selection.query) throw Error({"arcs", "a chosen token", "none", "--goto query=17"});
    FigureGrid grid{.title = "what token " + std::to_string(*selection.query) + " reads most",
                    .row_axis = "layer",
                    .column_axis = "key",
                    .unit = "weight",
                    .spread = ColorSpread::square_root};
    const std::vector<LayerLinks> layers = links_through_layers(layer_order(selection), shelf_, run);
    std::set<std::size_t> tokens;
    for (const LayerLinks& layer : layers)
      for (const Link& link : layer.links) tokens.insert(link.key);
    for (const std::size_t token : tokens) grid.column_labels.push_back(std::to_string(token) + " " + texts_.keys.labels[token]);
    for (const LayerLinks& layer : layers) {
      grid.row_labels.push_back(std::to_string(recording_.modules()[layer.module].block));
      std::map<std::size_t, double> weights;
      for (const Link& link : layer.links) weights[link.key] = static_cast<double>(link.weight), add(layer.module, link, mean_);
      for (const std::size_t token : tokens) grid.values.push_back(weights.contains(token) ? weights[token] : std::nan(""));
    }
    grid.rows = layers.size(), grid.columns = tokens.size();
    figure.grids.push_back(std::move(grid));
  }
  figure.tables.push_back(std::move(table));
  return figure;
}

}  // namespace

const Panel& panel_arcs() {
  static const Panel panel{
      .name = "arcs",
      .title = "Arcs",
      .summary = "the keys that queries read most as lines: one layer, or one token through all layers",
      .place = 45,
      .shows = [](const Document& document) { return document.recording != nullptr; },
      .make = [](const DocumentPointer& document, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<ArcsView>(document); }};
  return panel;
}

}  // namespace vitrine
