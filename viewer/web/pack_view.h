#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "viewer/data/view_pack_reader.h"
#include "viewer/draw/head_grid.h"
#include "viewer/draw/map_canvas.h"
#include "viewer/draw/tile_painter.h"

namespace vitrine {

/// A view pack in one window: all heads as thumbnails, the map of one, the tokens. Needs ImGui and OpenGL, and nothing of a browser.
class PackView {
 public:
  /// Shows a pack. @throws Error, and then shows what was there before
  void open(std::string bytes, std::string_view name);
  bool empty() const { return pack_ == nullptr; }
  /// One frame, over everything. Returns whether another one is needed.
  bool frame();
  /// "L5H8": the map that is shown. Returns whether there is such a head.
  bool choose(std::string_view label);
  std::string chosen() const { return empty() ? std::string() : pack_->heads().labels[place_]; }
  /// What is shown, for tests and for pages around it.
  Json state() const;
  bool wants_file() const { return wants_file_; }  ///< in the last frame: the user asked for another pack

 private:
  void show(std::size_t place);
  std::shared_ptr<const Tile> tile(const TileId& id);
  float cell(std::size_t query, std::size_t key);
  void read_row();
  bool paint_thumbnails();
  void take_keys();
  void draw_about();
  void draw_heads();
  void draw_controls();
  void draw_map();
  void draw_tokens();
  void tooltip(std::size_t query, std::size_t key);
  std::string cell_text() const;

  std::unique_ptr<ViewPack> pack_;
  std::string name_, sort_ = "layer", filter_;
  HeadGrid grid_;
  ColorScale scale_;
  std::size_t place_ = 0;
  std::optional<std::size_t> query_, key_;
  bool wants_file_ = false, to_token_ = false;

  std::vector<std::string> query_labels_, key_labels_;  // as they can be drawn
  std::map<std::tuple<unsigned, std::size_t, std::size_t>, std::shared_ptr<const Tile>> tiles_;  // of the map that is shown
  TilePainter painter_;
  TilePainter::Drawn drawn_;
  MapCanvas canvas_;
  std::vector<float> row_;  // of the chosen query, in cells of the finest level; NaN where masked
};

}  // namespace vitrine
