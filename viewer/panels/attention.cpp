#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "viewer/heat_map.h"
#include "viewer/map_builder.h"
#include "viewer/panel.h"
#include "probes/figures/token_label.h"

// Every head as a thumbnail, the chosen one as a map to zoom, pan and ask.

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto frame_budget = std::chrono::milliseconds(12);
constexpr std::size_t thumbnail_cells = 24, map_cells = 512;
constexpr float grid_margin = 30.0f;  // layer numbers, in pixels
constexpr ImU32 bright = IM_COL32(235, 235, 240, 255), dim = IM_COL32(150, 150, 160, 255),
                mark = IM_COL32(255, 120, 60, 255);

/// Text that reads upwards. ImGui drops glyphs outside the clip rectangle before they are turned, so the text is laid
/// out at `safe`, a place inside it, and then moved.
void upward_text(ImVec2 at, ImVec2 safe, ImU32 color, const std::string& text) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const int first = list->VtxBuffer.Size;
  list->AddText(safe, color, text.c_str());
  for (int i = first; i < list->VtxBuffer.Size; ++i) {
    const ImVec2 from = list->VtxBuffer[i].pos;
    list->VtxBuffer[i].pos = {at.x + (from.y - safe.y), at.y - (from.x - safe.x)};
  }
}

class AttentionView : public PanelView {
 public:
  explicit AttentionView(const Document& document) : recording_(*document.recording) {}
  void draw(Selection& selection) override;
  bool busy() const override {
    return thumbnail_ < total_heads_ || (map_ && !map_->done()) || (detail_ && !detail_->done());
  }

 private:
  struct Area {
    ImVec2 from, to;
    float width() const { return to.x - from.x; }
    float height() const { return to.y - from.y; }
  };
  void load_sequence(const Selection& selection);
  void load_head(const Selection& selection);
  void work_on_thumbnails(Clock::time_point deadline);
  void work_on_map(Clock::time_point deadline);
  float thumbnail_pixels(ImVec2 room) const;
  void draw_grid(Selection& selection);
  void draw_header(Selection& selection);
  void draw_map(Selection& selection);
  void draw_labels(const Area& area, ImVec2 safe, const Selection& selection);
  void draw_color_bar(const Area& area);
  void read_query(const Selection& selection);
  void draw_query(const Area& area, ImVec2 end, const Selection& selection);
  std::string query_line(std::size_t query, float width) const;
  void draw_marks(const Area& area, const Selection& selection);
  void navigate(const Area& area);
  void hover(const Area& area, Selection& selection);
  void keys(Selection& selection);
  const Recording::Module& module(const Selection& selection) const { return modules_[selection.layer]; }
  std::string label(std::size_t token) const { return token < labels_.size() ? labels_[token] : std::to_string(token); }
  float weight(std::size_t query, std::size_t key) const;
  float cell_pixels(const Area& area) const { return area.width() / span_; }

  const Recording& recording_;
  const std::vector<Recording::Module> modules_ = own_modules(recording_);
  std::optional<std::size_t> sequence_;
  std::vector<std::string> labels_;
  float label_pixels_ = 0.0f;  // of the longest
  std::size_t tokens_ = 0, most_heads_ = 0, total_heads_ = 0;

  std::size_t thumbnail_ = 0;  // next head to look at
  std::vector<float> atlas_;   // [layers * cells, heads * cells]
  HeatMap grid_;

  std::optional<std::pair<std::size_t, std::size_t>> shown_;  // layer, head
  std::shared_ptr<const Recording::Head> head_;
  std::unique_ptr<MapBuilder> map_, detail_;
  HeatMap map_texture_, detail_texture_;
  bool map_done_ = false, detail_done_ = false;
  std::string statistics_;
  ColorScale scale_;
  std::optional<std::size_t> read_;                       // the query whose row is in strongest_
  std::vector<std::pair<float, std::size_t>> strongest_;  // weight and key, largest first
  float left_ = 0.0f, top_ = 0.0f, span_ = 1.0f;          // what is seen: first key, first query, tokens on each axis
};

void AttentionView::load_sequence(const Selection& selection) {
  if (sequence_ == selection.sequence) return;
  sequence_ = selection.sequence;
  labels_.clear();
  const auto texts = recording_.token_texts(selection.sequence);
  const auto ids = recording_.token_ids(selection.sequence);
  tokens_ = ids.size();
  for (std::size_t i = 0; i < tokens_; ++i)
    labels_.push_back(texts[i].empty() ? "#" + std::to_string(ids[i]) : token_label(texts[i]));
  label_pixels_ = 0.0f;
  for (const std::string& each : labels_) label_pixels_ = std::max(label_pixels_, ImGui::CalcTextSize(each.c_str()).x);
  label_pixels_ += ImGui::CalcTextSize((std::to_string(tokens_) + " ").c_str()).x;
  most_heads_ = total_heads_ = thumbnail_ = 0;
  for (const auto& each : modules_) most_heads_ = std::max(most_heads_, each.heads);
  total_heads_ = modules_.size() * most_heads_;
  atlas_.assign(total_heads_ * thumbnail_cells * thumbnail_cells, std::numeric_limits<float>::quiet_NaN());
  shown_.reset();
}

void AttentionView::load_head(const Selection& selection) {
  const std::pair<std::size_t, std::size_t> wanted{selection.layer, selection.head};
  if (shown_ == wanted) return;
  if (!shown_) {
    left_ = top_ = 0.0f;
    span_ = static_cast<float>(tokens_);
  }
  shown_ = wanted;
  head_ = recording_.head(module(selection), selection.head, *sequence_);
  map_ = std::make_unique<MapBuilder>(head_, MapRegion{0, 0, tokens_, tokens_, 1}, map_cells);
  detail_.reset();
  read_.reset();
  map_done_ = detail_done_ = false;
  const std::size_t heads = module(selection).heads;
  double means[3] = {};
  const char* names[] = {"entropy", "distance", "first_key"};
  for (std::size_t s = 0; s < 3; ++s) {
    const auto values = recording_.row_statistic(module(selection), names[s], *sequence_);
    for (std::size_t row = 0; row < tokens_; ++row)
      means[s] += values[row * heads + selection.head] / static_cast<double>(tokens_);
  }
  char text[160];
  std::snprintf(text, sizeof text, "means: entropy %.2f nats, distance %.1f tokens, first token %.2f", means[0],
                means[1], means[2]);
  statistics_ = text;
}

void AttentionView::work_on_thumbnails(Clock::time_point deadline) {
  const std::size_t columns = most_heads_ * thumbnail_cells;
  const bool was_busy = thumbnail_ < total_heads_;
  for (; thumbnail_ < total_heads_ && Clock::now() < deadline; ++thumbnail_) {
    const std::size_t layer = thumbnail_ / most_heads_, h = thumbnail_ % most_heads_;
    if (h >= modules_[layer].heads) continue;
    const auto head = recording_.head(modules_[layer], h, *sequence_);
    const std::size_t step = (tokens_ + thumbnail_cells - 1) / thumbnail_cells;
    MapBuilder builder(head, {0, 0, tokens_, tokens_, std::max<std::size_t>(1, step / 2)}, thumbnail_cells);
    while (!builder.done()) builder.work(Clock::time_point::max());
    const MapImage& image = builder.image();
    for (std::size_t r = 0; r < thumbnail_cells; ++r) {  // stretched over the thumbnail, whatever the text's length
      for (std::size_t c = 0; c < thumbnail_cells; ++c) {
        atlas_[(layer * thumbnail_cells + r) * columns + h * thumbnail_cells + c] =
            image.values[r * image.rows / thumbnail_cells * image.cols + c * image.cols / thumbnail_cells];
      }
    }
  }
  if (was_busy) grid_.upload(atlas_, modules_.size() * thumbnail_cells, columns);
}

void AttentionView::work_on_map(Clock::time_point deadline) {
  if (!map_done_) {
    map_->work(deadline);
    map_done_ = map_->done();
    map_texture_.upload(map_->image().values, map_->image().rows, map_->image().cols);
  }
  // Closer than the overview can show: the visible part at full resolution.
  const bool close = map_->image().step > 1 && span_ < static_cast<float>(tokens_) * 0.999f;
  if (!map_done_ || !close) return detail_.reset();
  const auto first_row = static_cast<std::size_t>(std::max(0.0f, top_)),
             first_col = static_cast<std::size_t>(std::max(0.0f, left_));
  const auto extent = static_cast<std::size_t>(span_) + 2;
  const MapRegion region{first_row, first_col, std::min(extent, tokens_ - first_row),
                         std::min(extent, tokens_ - first_col), 1};
  const bool same = detail_ && detail_->image().row == region.row && detail_->image().col == region.col &&
                    detail_->image().rows == (region.rows + detail_->image().step - 1) / detail_->image().step;
  if (!same) {
    detail_ = std::make_unique<MapBuilder>(head_, region, map_cells);
    detail_done_ = false;
  }
  if (detail_done_) return;
  detail_->work(deadline);
  detail_done_ = detail_->done();
  if (detail_done_) detail_texture_.upload(detail_->image().values, detail_->image().rows, detail_->image().cols);
}

void AttentionView::draw(Selection& selection) {
  if (modules_.empty() || recording_.sequences() == 0) {
    ImGui::TextUnformatted("This recording holds no attention: record with --attention factors.");
    return;
  }
  load_sequence(selection);
  load_head(selection);
  const Clock::time_point deadline = Clock::now() + frame_budget;
  work_on_map(deadline);
  work_on_thumbnails(deadline);
  draw_header(selection);
  const float thumbnail = thumbnail_pixels(ImGui::GetContentRegionAvail());
  ImGui::BeginChild("heads", {std::max(190.0f, grid_margin + 8.0f + thumbnail * static_cast<float>(most_heads_)), 0});
  draw_grid(selection);
  ImGui::EndChild();
  ImGui::SameLine();
  ImGui::BeginChild("map", {0, 0}, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
  draw_map(selection);
  ImGui::EndChild();
  keys(selection);
}

/// As large as lets every layer be seen without scrolling, within reason.
float AttentionView::thumbnail_pixels(ImVec2 room) const {
  const float by_height =
      (room.y - 2 * ImGui::GetTextLineHeight() - 6.0f) / static_cast<float>(modules_.size());
  const float by_width = (0.4f * room.x - grid_margin) / static_cast<float>(most_heads_);
  return std::clamp(std::min(by_height, std::max(by_width, 14.0f)), 14.0f, 72.0f);
}

void AttentionView::draw_header(Selection& selection) {
  const Json& source = recording_.provenance();
  ImGui::Text("%s   kernel %s, %s   %zu tokens%s", source["model"].string().c_str(), source["kernel"].string().c_str(),
              source["precision"].string().c_str(), tokens_, recording_.finished() ? "" : "   (unfinished recording)");
  if (recording_.sequences() > 1) {
    int chosen = static_cast<int>(selection.sequence);
    ImGui::SameLine();
    ImGui::SetNextItemWidth(160.0f);
    if (ImGui::SliderInt("sequence", &chosen, 0, static_cast<int>(recording_.sequences()) - 1)) {
      selection.sequence = static_cast<std::size_t>(chosen);
      selection.query.reset();
    }
  }
  ImGui::Separator();
}

void AttentionView::draw_grid(Selection& selection) {
  const std::size_t layers = modules_.size();
  const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
  const float size = std::min((room.y - 2 * ImGui::GetTextLineHeight() - 6.0f) / static_cast<float>(layers),
                              std::min(72.0f, (room.x - grid_margin) / static_cast<float>(most_heads_))),
              line = ImGui::GetTextLineHeight();
  const ImVec2 from{origin.x + grid_margin, origin.y + 2 * line};
  const ImVec2 extent{size * static_cast<float>(most_heads_), size * static_cast<float>(layers)};
  ImDrawList* list = ImGui::GetWindowDrawList();
  list->AddText(origin, dim, "layer (down) x head (across)");
  grid_.draw({from.x, from.y}, {from.x + extent.x, from.y + extent.y}, {0.0f, 1.0f, true});
  const auto every = static_cast<std::size_t>(std::ceil(22.0f / size));
  for (std::size_t h = 0; h <= most_heads_; ++h) {
    const float x = from.x + static_cast<float>(h) * size;
    list->AddLine({x, from.y}, {x, from.y + extent.y}, IM_COL32(18, 18, 22, 255), 2.0f);
    if (h < most_heads_ && h % every == 0) list->AddText({x + 3, origin.y + line}, dim, std::to_string(h).c_str());
  }
  for (std::size_t l = 0; l <= layers; ++l) {
    const float y = from.y + static_cast<float>(l) * size;
    list->AddLine({from.x, y}, {from.x + extent.x, y}, IM_COL32(18, 18, 22, 255), 2.0f);
    const std::size_t every_line = size < line ? 2 : 1;
    if (l < layers && l % every_line == 0)
      list->AddText({origin.x, y + (size - line) / 2}, dim, std::to_string(modules_[l].block).c_str());
  }
  const ImVec2 chosen{from.x + static_cast<float>(selection.head) * size,
                      from.y + static_cast<float>(selection.layer) * size};
  list->AddRect({chosen.x - 1, chosen.y - 1}, {chosen.x + size + 1, chosen.y + size + 1}, mark, 0.0f, 0, 2.5f);
  ImGui::SetCursorScreenPos(from);
  ImGui::InvisibleButton("grid", extent);
  if (!ImGui::IsItemHovered()) return;
  const ImVec2 mouse = ImGui::GetMousePos();
  const auto head = std::min(most_heads_ - 1, static_cast<std::size_t>((mouse.x - from.x) / size));
  const auto layer = std::min(layers - 1, static_cast<std::size_t>((mouse.y - from.y) / size));
  if (head >= modules_[layer].heads) return;
  ImGui::SetTooltip("L%zuH%zu", modules_[layer].block, head);
  if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) selection = {layer, head, selection.sequence, selection.query};
}

void AttentionView::draw_map(Selection& selection) {
  ImGui::PushStyleColor(ImGuiCol_Text, mark);
  ImGui::Text("Layer %zu, head %zu", module(selection).block, selection.head);
  ImGui::PopStyleColor();
  ImGui::SameLine();
  ImGui::PushTextWrapPos();
  ImGui::Text(" %s", statistics_.c_str());
  ImGui::PopTextWrapPos();
  ImGui::Checkbox("square-root colours", &scale_.square_root);
  ImGui::SameLine();
  ImGui::SetNextItemWidth(100.0f);
  ImGui::SliderFloat("brightest at", &scale_.high, 0.01f, 1.0f, "%.2f", ImGuiSliderFlags_AlwaysClamp);
  ImGui::SameLine();
  if (ImGui::Button("whole map") || ImGui::IsKeyPressed(ImGuiKey_F)) {
    left_ = top_ = 0.0f;
    span_ = static_cast<float>(tokens_);
  }
  ImGui::SameLine();
  const std::size_t step = detail_ && detail_done_ ? detail_->image().step : map_->image().step;
  step > 1 ? ImGui::TextDisabled("cell = largest of %zu x %zu", step, step) : ImGui::TextDisabled("cell = one pair");

  const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
  const float left_margin = std::max(118.0f, label_pixels_ + 10.0f),
              top_margin = std::max(48.0f, label_pixels_ + 12.0f), bar = 116.0f;
  const float size = std::floor(std::max(64.0f, std::min(room.x - left_margin - bar, room.y - top_margin - 4.0f)));
  const Area area{{origin.x + left_margin, origin.y + top_margin},
                  {origin.x + left_margin + size, origin.y + top_margin + size}};
  ImGui::SetCursorScreenPos(area.from);
  ImGui::InvisibleButton("pairs", {size, size});
  navigate(area);
  ImGui::PushClipRect(area.from, area.to, true);
  const auto place = [&](const MapImage& image, const HeatMap& texture) {
    const float pixels = cell_pixels(area), cell = static_cast<float>(image.step) * pixels;
    const ImVec2 at{area.from.x + (static_cast<float>(image.col) - left_) * pixels,
                    area.from.y + (static_cast<float>(image.row) - top_) * pixels};
    texture.draw({at.x, at.y},
                 {at.x + cell * static_cast<float>(image.cols), at.y + cell * static_cast<float>(image.rows)}, scale_);
  };
  place(map_->image(), map_texture_);
  if (detail_ && detail_done_) place(detail_->image(), detail_texture_);
  draw_marks(area, selection);
  ImGui::PopClipRect();
  draw_labels(area, origin, selection);
  draw_color_bar(area);
  draw_query(area, {origin.x + room.x, origin.y + room.y}, selection);
  hover(area, selection);
}

void AttentionView::navigate(const Area& area) {
  if (!ImGui::IsItemHovered() && !ImGui::IsItemActive()) return;
  const ImGuiIO& io = ImGui::GetIO();
  const float pixels = cell_pixels(area), all = static_cast<float>(tokens_);
  if (io.MouseWheel != 0.0f) {
    const float x = (io.MousePos.x - area.from.x) / area.width(), y = (io.MousePos.y - area.from.y) / area.height();
    const float span = std::clamp(span_ * std::pow(0.85f, io.MouseWheel), std::min(4.0f, all), all);
    left_ += (span_ - span) * x;  // what is under the pointer stays there
    top_ += (span_ - span) * y;
    span_ = span;
  }
  if (ImGui::IsItemActive() && ImGui::IsMouseDragging(ImGuiMouseButton_Left)) {
    left_ -= io.MouseDelta.x / pixels;
    top_ -= io.MouseDelta.y / pixels;
  }
  if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) span_ = all;
  left_ = std::clamp(left_, 0.0f, all - span_);
  top_ = std::clamp(top_, 0.0f, all - span_);
}

void AttentionView::draw_labels(const Area& area, ImVec2 safe, const Selection& selection) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float pixels = cell_pixels(area), line = ImGui::GetTextLineHeight();
  const auto every = static_cast<std::size_t>(std::max(1.0f, std::ceil((line + 1.0f) / pixels)));
  const auto first = [&](float start) { return (static_cast<std::size_t>(start) + every - 1) / every * every; };
  // Where tokens are left out, positions say so.
  const auto name = [&](std::size_t token) {
    return every > 1 ? std::to_string(token) + " " + label(token) : label(token);
  };
  const auto row_label = [&](std::size_t i, ImU32 color) {
    const float y = area.from.y + (static_cast<float>(i) - top_ + 0.5f) * pixels;
    if (y < area.from.y + 2 || y > area.to.y - 2) return;
    const std::string text = name(i);
    const ImVec2 size = ImGui::CalcTextSize(text.c_str());
    list->AddText({area.from.x - 6 - size.x, y - size.y / 2}, color, text.c_str());
  };
  for (std::size_t i = first(top_); i < tokens_ && static_cast<float>(i) < top_ + span_; i += every) {
    // The chosen query's own label comes in place of those beside it.
    const std::size_t apart = selection.query ? std::max(i, *selection.query) - std::min(i, *selection.query) : every;
    if (apart >= every) row_label(i, bright);
  }
  if (selection.query && *selection.query < tokens_) row_label(*selection.query, mark);
  for (std::size_t j = first(left_); j < tokens_ && static_cast<float>(j) < left_ + span_; j += every) {
    const float x = area.from.x + (static_cast<float>(j) - left_ + 0.5f) * pixels;
    if (x < area.from.x + 2 || x > area.to.x - 2) continue;
    upward_text({x - line / 2, area.from.y - 6}, safe, bright, name(j));
  }
  list->AddText({safe.x, area.from.y - 2 * line - 8}, dim, "keys (are read) \u2192");
  list->AddText({safe.x, area.from.y - line - 6}, dim, "queries (read) \u2193");
}

void AttentionView::draw_color_bar(const Area& area) {
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float x = area.to.x + 12.0f, height = std::min(area.height(), 320.0f), line = ImGui::GetTextLineHeight();
  list->AddText({x, area.from.y - 2 * line - 8}, bright, "weight (each");
  list->AddText({x, area.from.y - line - 8}, bright, "row sums to 1)");
  constexpr int strips = 64;
  for (int i = 0; i < strips; ++i) {
    const auto [r, g, b] = viridis((static_cast<float>(i) + 0.5f) / strips);
    const float y = area.from.y + height * (1.0f - static_cast<float>(i + 1) / strips);
    list->AddRectFilled({x, y}, {x + 14, y + height / strips + 1}, ImGui::GetColorU32(ImVec4(r, g, b, 1.0f)));
  }
  // Round shares of the brightest weight, where the colours put them.
  const std::initializer_list<float> rooted{0.0f, 0.05f, 0.2f, 0.5f, 1.0f}, even{0.0f, 0.25f, 0.5f, 0.75f, 1.0f};
  for (const float share : scale_.square_root ? rooted : even) {
    const float y = area.from.y + height * (1.0f - (scale_.square_root ? std::sqrt(share) : share));
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", share * scale_.high);
    list->AddLine({x + 14, y}, {x + 18, y}, dim);
    list->AddText({x + 22, y - (share == 0.0f ? line : share == 1.0f ? 0.0f : line / 2)}, bright, text);
  }
  list->AddRectFilled({x, area.from.y + height + 10}, {x + 14, area.from.y + height + 24}, IM_COL32(33, 33, 38, 255));
  list->AddRect({x, area.from.y + height + 10}, {x + 14, area.from.y + height + 24}, dim);
  list->AddText({x + 22, area.from.y + height + 9}, dim, "masked");
}

/// The chosen query's row, largest weights first.
void AttentionView::read_query(const Selection& selection) {
  if (read_ == selection.query) return;
  read_ = selection.query;
  strongest_.clear();
  std::vector<float> row(tokens_);
  pattern_tile(head_->factors, *read_, 0, {row.data(), {1, tokens_}});
  for (std::size_t key = 0; key < tokens_; ++key) {
    if (visible(head_->factors.score, head_->factors.rule, head_->factors.q_start + *read_, key))
      strongest_.emplace_back(row[key], key);
  }
  const std::size_t kept = std::min<std::size_t>(strongest_.size(), 12);
  std::partial_sort(strongest_.begin(), strongest_.begin() + static_cast<std::ptrdiff_t>(kept), strongest_.end(),
                    std::greater<>());
  strongest_.resize(kept);
}

std::string AttentionView::query_line(std::size_t query, float width) const {
  std::string text = "query " + std::to_string(query) + " " + label(query) + " reads most: ";
  for (const auto& [share, key] : strongest_) {
    char number[16];
    std::snprintf(number, sizeof number, " %.3f   ", static_cast<double>(share));
    const std::string longer = text + label(key) + number;
    if (ImGui::CalcTextSize(longer.c_str()).x > width) break;
    text = longer;
  }
  return text;
}

/// What the chosen query reads: below the colours, or in one line below the map where that is too low.
void AttentionView::draw_query(const Area& area, ImVec2 end, const Selection& selection) {
  if (!selection.query || *selection.query >= tokens_) return;
  read_query(selection);
  ImDrawList* list = ImGui::GetWindowDrawList();
  const float line = ImGui::GetTextLineHeight(), x = area.to.x + 12.0f, bottom = area.to.y;
  float y = area.from.y + std::min(area.height(), 320.0f) + 40.0f;
  const auto write = [&](ImU32 color, const std::string& text) {
    list->AddText({x, y}, color, text.c_str());
    y += line + 2.0f;
  };
  if (y + 5 * line > bottom) {
    const float left = ImGui::GetWindowPos().x;
    if (area.to.y + 4 + line < end.y)
      list->AddText({left, area.to.y + 4}, mark, query_line(*selection.query, end.x - left).c_str());
    return;
  }
  list->PushClipRect({x, area.from.y}, {end.x, bottom}, true);
  write(mark, "query " + std::to_string(*selection.query));
  write(mark, label(*selection.query));
  write(dim, "reads most:");
  for (const auto& [share, key] : strongest_) {
    if (y + line > bottom) break;
    char text[24];
    std::snprintf(text, sizeof text, "%.3f ", static_cast<double>(share));
    write(bright, text + label(key) + (end.x - x > 220.0f ? "  (key " + std::to_string(key) + ")" : ""));
  }
  list->PopClipRect();
}

void AttentionView::draw_marks(const Area& area, const Selection& selection) {
  if (!selection.query || *selection.query >= tokens_) return;
  const float pixels = cell_pixels(area), y = area.from.y + (static_cast<float>(*selection.query) - top_) * pixels;
  ImGui::GetWindowDrawList()->AddRect({area.from.x, y - 1}, {area.to.x, y + std::max(pixels, 2.0f) + 1}, mark, 0.0f, 0,
                                      1.5f);
}

float AttentionView::weight(std::size_t query, std::size_t key) const {
  float value = 0.0f;
  pattern_tile(head_->factors, query, key, {&value, {1, 1}});
  return value;
}

void AttentionView::hover(const Area& area, Selection& selection) {
  if (!ImGui::IsItemHovered()) return;
  const ImVec2 mouse = ImGui::GetMousePos();
  const float pixels = cell_pixels(area);
  const auto query = static_cast<std::size_t>(std::max(0.0f, top_ + (mouse.y - area.from.y) / pixels));
  const auto key = static_cast<std::size_t>(std::max(0.0f, left_ + (mouse.x - area.from.x) / pixels));
  if (query >= tokens_ || key >= tokens_) return;
  const ImVec2 cell{area.from.x + (static_cast<float>(key) - left_) * pixels,
                    area.from.y + (static_cast<float>(query) - top_) * pixels};
  ImGui::GetWindowDrawList()->AddRect({cell.x - 1, cell.y - 1}, {cell.x + pixels + 1, cell.y + pixels + 1}, bright,
                                      0.0f, 0, 1.5f);
  if (ImGui::IsMouseReleased(ImGuiMouseButton_Left) && ImGui::GetMouseDragDelta().x == 0.0f) selection.query = query;
  ImGui::BeginTooltip();
  ImGui::Text("query %zu   %s", query, label(query).c_str());
  ImGui::Text("key   %zu   %s", key, label(key).c_str());
  if (visible(head_->factors.score, head_->factors.rule, query, key)) {
    ImGui::Text("weight %.6g", static_cast<double>(weight(query, key)));
  } else {
    ImGui::TextUnformatted("masked: the query cannot see this key");
  }
  ImGui::EndTooltip();
}

void AttentionView::keys(Selection& selection) {
  if (!ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows) || ImGui::GetIO().WantTextInput) return;
  const std::size_t layers = modules_.size();
  if (ImGui::IsKeyPressed(ImGuiKey_RightArrow)) selection.head = (selection.head + 1) % module(selection).heads;
  if (ImGui::IsKeyPressed(ImGuiKey_LeftArrow))
    selection.head = (selection.head + module(selection).heads - 1) % module(selection).heads;
  if (ImGui::IsKeyPressed(ImGuiKey_DownArrow)) selection.layer = (selection.layer + 1) % layers;
  if (ImGui::IsKeyPressed(ImGuiKey_UpArrow)) selection.layer = (selection.layer + layers - 1) % layers;
  selection.head = std::min(selection.head, module(selection).heads - 1);
}

}  // namespace

const Panel& panel_attention() {
  static const Panel panel{
      "attention", "every head as a thumbnail, the chosen one as a map",
      [](const Document& document) { return document.recording != nullptr; },
      [](const Document& document) -> std::unique_ptr<PanelView> { return std::make_unique<AttentionView>(document); }};
  return panel;
}

}  // namespace vitrine
