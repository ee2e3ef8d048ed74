#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>

#include "viewer/data/tiles.h"
#include "viewer/draw/heat_map.h"

namespace vitrine {

/// Which part of a map is seen: the token at the upper left corner, and how large tokens are.
struct Porthole {
  double top = 0.0, left = 0.0;  ///< in tokens
  double pixels = 1.0;           ///< of a token, on both axes
};

/// Draws maps from their tiles, those that are missing from coarser ones, and keeps the tiles' textures.
class TilePainter {
 public:
  using Source = std::function<std::shared_ptr<const Tile>(const TileId& tile, Urgency urgency)>;
  explicit TilePainter(std::size_t bytes = 96u << 20) : most_bytes_(bytes) {}

  struct Order {
    MapId map;
    std::size_t queries = 0, keys = 0;
    Porthole porthole;
    Corner from, to;  ///< the screen's rectangle that shows it
    ColorScale scale;
    unsigned finest = 0;  ///< the lowest level that there is
  };
  /// What was drawn.
  struct Drawn {
    unsigned level = 0;     ///< wanted: a cell is 2^level tokens on each axis
    bool complete = false;  ///< every tile of that level was there
    bool anything = false;  ///< something of the map is there, however coarse
  };
  /// Into the current window's draw list; the caller clips.
  Drawn draw(const Order& order, const Source& source);
  /// The level whose cells are at least a pixel large, so that no cell can hide between pixels.
  static unsigned level_of(double pixels, unsigned most);
  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  struct Texture {
    std::shared_ptr<const Tile> tile;  // what was uploaded
    HeatMap map;
    std::list<TileId>::iterator use;
  };
  Texture& texture_of(const TileId& id, const std::shared_ptr<const Tile>& tile);
  enum class Painted { nothing, coarser, tile };
  Painted paint(const Order& order, const TileId& wanted, const Source& source);
  void shrink();

  std::map<TileId, std::unique_ptr<Texture>> textures_;
  std::list<TileId> uses_;  // newest first
  std::size_t bytes_ = 0, most_bytes_;
};

}  // namespace vitrine
