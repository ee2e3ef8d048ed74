#include "viewer/web/pack_view.h"

#include <imgui.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/base/error.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/look.h"

namespace vitrine {
namespace {

constexpr double thumbnails_seconds = 0.012, thumbnails_share = 0.5;  // of a frame, whichever is more, until all are there

/// Of a stranger's file: as a text, whatever it is.
std::string word(const Json& json, std::string_view name) {
  if (json[name].is_string()) return drawable(json[name].string());
  return json[name].is_null() ? "?" : json[name].dump();
}

/// A telephone: one thing below the other.
bool upright() { return ImGui::GetIO().DisplaySize.x < 48.0f * ImGui::GetFontSize(); }

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void PackView::open(std::string bytes, std::string_view name) {
  auto pack = std::make_unique<ViewPack>(std::move(bytes), name);
  pack_ = std::move(pack);
  name_ = name;
  sort_ = "layer";
  filter_.clear();
  query_labels_.clear();  // what was chosen in another text
  grid_.reset(pack_->heads());
  show(0);
}

void PackView::show(std::size_t place) {
  place_ = place;
  tiles_.clear();
  painter_.clear();
  if (query_labels_.size() != pack_->queries(place).size() || key_labels_.size() != pack_->keys(place).size()) {
    query_.reset();
    key_.reset();
    canvas_.fit();
  }
  query_labels_ = drawable_labels(pack_->queries(place));
  key_labels_ = drawable_labels(pack_->keys(place));
  read_row();
}

bool PackView::choose(std::string_view label) {
  if (empty()) return false;
  const auto& labels = pack_->heads().labels;
  const auto found = std::find(labels.begin(), labels.end(), label);
  if (found != labels.end()) show(static_cast<std::size_t>(found - labels.begin()));
  return found != labels.end();
}

std::shared_ptr<const Tile> PackView::tile(const TileId& id) {
  auto& kept = tiles_[{id.level, id.row, id.column}];
  if (!kept && id.level >= pack_->finest(place_)) kept = std::make_shared<const Tile>(pack_->tile(place_, id.level, id.row, id.column));
  return kept;
}

/// The number of the finest cell that holds the pair.
float PackView::cell(std::size_t query, std::size_t key) {
  const unsigned level = pack_->finest(place_);
  const std::size_t row = query >> level, column = key >> level;
  const auto part = tile({{nullptr, 0, 0, 0}, level, row / tile_cells, column / tile_cells});
  const std::vector<float>& values = scale_.reduction == Reduction::mean ? part->mean : part->largest;
  return values[row % tile_cells * part->columns + column % tile_cells];
}

void PackView::read_row() {
  row_.clear();
  if (!query_) return;
  const unsigned level = pack_->finest(place_);
  for (std::size_t key = 0; key < key_labels_.size(); key += std::size_t{1} << level) row_.push_back(cell(*query_, key));
}

/// Returns whether any are missing.
bool PackView::paint_thumbnails() {
  const HeadList& heads = pack_->heads();
  const double start = seconds_now(), budget = std::max(thumbnails_seconds, thumbnails_share * static_cast<double>(ImGui::GetIO().DeltaTime));
  for (std::size_t place = 0; place < heads.places.size() && !grid_.complete(); ++place) {
    if (grid_.has(place)) continue;
    if (seconds_now() - start > budget) return true;
    grid_.put(heads, place, pack_->tile(place, whole_level(pack_->queries(place).size(), pack_->keys(place).size()), 0, 0));
  }
  return false;
}

void PackView::take_keys() {
  if (ImGui::GetIO().WantTextInput) return;
  const auto move = [&](std::size_t by) {  // by one, around the ends
    const std::size_t count = query_labels_.size();
    query_ = (query_.value_or(by == 1 ? count - 1 : 0) + by) % count;
    canvas_.show_query(*query_);
    to_token_ = true;
    read_row();
  };
  if (ImGui::IsKeyPressed(ImGuiKey_J)) move(1);
  if (ImGui::IsKeyPressed(ImGuiKey_K)) move(query_labels_.size() - 1);
  if (ImGui::IsKeyPressed(ImGuiKey_F)) canvas_.fit();
  if (ImGui::IsKeyPressed(ImGuiKey_Equal)) canvas_.zoom(1.5);
  if (ImGui::IsKeyPressed(ImGuiKey_Minus)) canvas_.zoom(1.0 / 1.5);
  if (ImGui::IsKeyPressed(ImGuiKey_M)) {
    scale_.reduction = scale_.reduction == Reduction::mean ? Reduction::largest : Reduction::mean;
    read_row();
  }
  if (ImGui::IsKeyPressed(ImGuiKey_Escape)) {
    query_.reset();
    key_.reset();
    read_row();
  }
}

void PackView::draw_about() {
  const Json& about = pack_->about();
  const ImGuiStyle& style = ImGui::GetStyle();
  const char *look = light_look() ? "dark" : "light", *other = "open another";
  const float buttons = ImGui::CalcTextSize(look).x + ImGui::CalcTextSize(other).x + 4 * style.FramePadding.x + style.ItemSpacing.x;
  const float left = ImGui::GetCursorPosX(), right = ImGui::GetContentRegionAvail().x - buttons, top = ImGui::GetCursorPosY();
  ImGui::SetCursorPosX(left + right);
  if (ImGui::SmallButton(look)) apply_window_look({!light_look(), style.FontScaleMain, {}});
  name_item("pack/look");
  ImGui::SameLine();
  wants_file_ = ImGui::SmallButton(other);
  name_item("pack/open");
  const ImVec2 below = ImGui::GetCursorPos(), corner = ImGui::GetCursorScreenPos();
  ImGui::SetCursorPos({left, top});
  ImGui::PushClipRect({corner.x, corner.y - below.y}, {corner.x + right - style.ItemSpacing.x, corner.y}, true);  // what has no room beside the buttons is cut
  ImGui::TextColored(ImGui::ColorConvertU32ToFloat4(mark_ink()), "%s", word(about, "model").c_str());
  ImGui::SameLine();
  ImGui::TextDisabled("%s   kernel %s, %s   %zu heads, %zu tokens", word(about, "recording").c_str(), word(about, "kernel").c_str(), word(about, "precision").c_str(), pack_->heads().places.size(),
                      query_labels_.size());
  ImGui::PopClipRect();
  ImGui::SetCursorPos(below);
}

void PackView::draw_heads() {
  const HeadList& heads = pack_->heads();
  const float unit = ImGui::GetFontSize();
  ImGui::SetNextItemWidth(9.0f * unit);
  if (ImGui::BeginCombo("##sort", ("by " + sort_).c_str())) {
    for (std::size_t i = 0; i <= heads.score_names.size(); ++i) {
      const std::string name = i == 0 ? "layer" : heads.score_names[i - 1];
      ImGui::PushID(static_cast<int>(i));
      if (ImGui::Selectable(drawable(name).c_str(), sort_ == name)) sort_ = name;
      name_item("pack/sort/" + name);
      ImGui::PopID();
    }
    ImGui::EndCombo();
  }
  name_item("heads/sort");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(-1.0f);
  char text[64] = {};
  filter_.copy(text, sizeof text - 1);
  if (ImGui::InputTextWithHint("##filter", "filter: L5, induction", text, sizeof text)) filter_ = text;
  name_item("heads/filter");
  if (!heads.scores.empty()) draw_role_legend();
  const auto [module, head] = heads.places[place_];
  const float across = upright() ? (ImGui::GetContentRegionAvail().x - 4.0f * unit) / static_cast<float>(heads.most_heads) : 0.0f;
  const ColorScale scale{0.0f, 1.0f, ColorSpread::square_root, scale_.colors, scale_.reduction};
  if (const auto clicked = grid_.draw(heads, {sort_, filter_, module, head, across, scale})) show(*clicked);
}

/// What a cell of the map is, and whether the pack has finer ones.
std::string PackView::cell_text() const {
  const std::size_t cell = std::size_t{1} << drawn_.level;
  if (cell == 1) return "cell = one pair";
  const std::string side = std::to_string(cell), reduction = scale_.reduction == Reduction::largest ? "largest" : "mean";
  return "cell = " + reduction + " of " + side + " x " + side + " pairs" + (drawn_.level == pack_->finest(place_) ? " (the finest here)" : "");
}

void PackView::draw_controls() {
  const HeadList& heads = pack_->heads();
  const HeadRole* role = heads.role_of(place_);
  ImGui::PushStyleColor(ImGuiCol_Text, mark_ink());
  ImGui::TextUnformatted(heads.labels[place_].c_str());
  ImGui::PopStyleColor();
  ImGui::SameLine();
  if (ImGui::SmallButton("whole map")) canvas_.fit();
  name_item("pack/fit");
  ImGui::SameLine();
  ImGui::TextDisabled("%s%s%s", drawable(heads.modules[heads.places[place_].module].name).c_str(), role == nullptr ? "" : ", ", role == nullptr ? "" : std::string(role->name).c_str());
  ImGui::SameLine();
  ImGui::TextDisabled("%s", cell_text().c_str());
  const Reduction before = scale_.reduction;
  edit_color_scale(scale_);
  if (scale_.reduction != before) read_row();
}

/// The map, and beside it, where there is room, what its colours stand for and the tokens.
void PackView::draw_map() {
  const ImVec2 rest = ImGui::GetContentRegionAvail(), from = ImGui::GetCursorScreenPos();
  const float unit = ImGui::GetFontSize(), side = upright() ? 0.0f : std::max(color_bar_width(), 11.0f * unit), bar = std::min(rest.y * 0.4f, 15.0f * unit);
  const auto paint = [&](const Rectangle& area) {
    drawn_ = painter_.draw({{nullptr, 0, place_, 0}, query_labels_.size(), key_labels_.size(), canvas_.porthole(), area.from, area.to, scale_, pack_->finest(place_)},
                           [&](const TileId& id, Urgency) { return tile(id); });
    name_rectangle("pack/seen", area);
  };
  const MapCanvas::Answer answer = canvas_.draw("pack/map", {rest.x - side - 10.0f, rest.y - 4.0f}, {&query_labels_, &key_labels_}, {query_, key_}, paint);
  if (answer.clicked) {
    query_ = answer.clicked->first;
    key_ = answer.clicked->second;
    to_token_ = true;
    read_row();
  }
  if (answer.hovered) tooltip(answer.hovered->first, answer.hovered->second);
  if (upright()) return;
  const Corner corner{from.x + rest.x - side, from.y};
  draw_color_bar(corner, bar, scale_, {"weight", "(a row sums to 1)"});
  ImGui::SetCursorScreenPos({corner.x, corner.y + bar + 8.0f});
  ImGui::BeginChild("list", {side, 0});
  draw_tokens();
  ImGui::EndChild();
}

void PackView::tooltip(std::size_t query, std::size_t key) {
  const unsigned level = pack_->finest(place_);
  const float value = cell(query, key);
  ImGui::BeginTooltip();
  ImGui::Text("query %zu   %s", query, query_labels_[query].c_str());
  ImGui::Text("key   %zu   %s", key, key_labels_[key].c_str());
  if (std::isnan(value)) {
    ImGui::TextUnformatted("masked: the query cannot see this key");
  } else {
    ImGui::Text("weight %.3g", static_cast<double>(value));
    const std::size_t cell = std::size_t{1} << level;
    if (cell > 1) ImGui::TextDisabled("%s of %zu x %zu pairs around", scale_.reduction == Reduction::mean ? "mean" : "largest", cell, cell);
    ImGui::TextDisabled("packed in %u bits", pack_->bits(place_));
  }
  ImGui::EndTooltip();
}

/// The text; what the chosen query reads is coloured as in the map.
void PackView::draw_tokens() {
  const unsigned level = pack_->finest(place_);
  ImGui::TextDisabled(query_ ? "what query %zu reads" : "tokens (click one)", query_.value_or(0));
  ImGui::BeginChild("tokens", {0, 0}, ImGuiChildFlags_Borders);
  const std::vector<std::string>& labels = query_ ? key_labels_ : query_labels_;
  const float line = ImGui::GetTextLineHeightWithSpacing();
  if (std::exchange(to_token_, false) && query_) ImGui::SetScrollY(std::max(0.0f, line * static_cast<float>(*query_) - ImGui::GetWindowHeight() / 2));
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(labels.size()), line);
  ImDrawList* list = ImGui::GetWindowDrawList();
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const auto token = static_cast<std::size_t>(i);
      const ImVec2 at = ImGui::GetCursorScreenPos();
      const float value = token >> level < row_.size() ? row_[token >> level] : std::nanf("");
      ImGui::PushID(i);
      if (ImGui::Selectable("##token", query_ == token)) {
        query_ = token;
        canvas_.show_query(token);
        read_row();
      }
      name_item("pack/token/" + std::to_string(i));
      ImGui::PopID();
      std::uint32_t color = query_ == token ? mark_ink() : query_ && std::isnan(value) ? faint_ink() : ink();
      const float side = ImGui::GetTextLineHeight();
      if (!std::isnan(value)) {
        const Color shade = color_at(scale_.colors, spread_position(scale_.spread, static_cast<double>(value), static_cast<double>(scale_.low), static_cast<double>(scale_.high)));
        list->AddRectFilled(ImVec2(at.x, at.y), ImVec2(at.x + side, at.y + side), ink_of(shade), 2.0f);
      }
      const std::string text = std::to_string(token) + "  " + labels[token];
      list->AddText(ImVec2(at.x + (query_ ? side + 6.0f : 0.0f), at.y), color, text.c_str());
    }
  }
  ImGui::EndChild();
}

bool PackView::frame() {
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(ImGui::GetIO().DisplaySize);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0.0f);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0.0f);
  ImGui::Begin("pack", nullptr, ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoBringToFrontOnFocus);
  ImGui::PopStyleVar(2);
  wants_file_ = false;
  bool again = false;
  if (!empty()) {
    again = paint_thumbnails();
    take_keys();
    draw_about();
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const float unit = ImGui::GetFontSize();
    ImGui::BeginChild("heads", upright() ? ImVec2(0, room.y * 0.4f) : ImVec2(std::clamp(room.x * 0.32f, 18.0f * unit, 34.0f * unit), 0));
    draw_heads();
    ImGui::EndChild();
    if (!upright()) ImGui::SameLine();
    ImGui::BeginChild("map", {0, 0});
    draw_controls();
    draw_map();
    ImGui::EndChild();
  }
  ImGui::End();
  return again;
}

Json PackView::state() const {
  Json state = Json::object().set("pack", name_).set("head", chosen());
  if (empty()) return state;
  const auto optional = [](const std::optional<std::size_t>& value) { return value ? Json(std::uint64_t{*value}) : Json(); };
  return state.set("heads", std::uint64_t{pack_->heads().places.size()}).set("queries", std::uint64_t{query_labels_.size()}).set("keys", std::uint64_t{key_labels_.size()})
      .set("query", optional(query_)).set("key", optional(key_)).set("sort", sort_).set("level", std::uint64_t{drawn_.level})
      .set("complete", grid_.complete() && drawn_.complete).set("view", canvas_.state());
}

}  // namespace vitrine
