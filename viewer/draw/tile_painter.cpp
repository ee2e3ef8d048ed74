#include "viewer/draw/tile_painter.h"

#include <algorithm>
#include <cmath>

namespace vitrine {

unsigned TilePainter::level_of(double pixels, unsigned most) {
  unsigned level = 0;
  while (level < most && pixels * static_cast<double>(std::size_t{1} << level) < 1.0) ++level;
  return level;
}

void TilePainter::clear() {
  textures_.clear();
  uses_.clear();
  bytes_ = 0;
}

TilePainter::Texture& TilePainter::texture_of(const TileId& id, const std::shared_ptr<const Tile>& tile) {
  std::unique_ptr<Texture>& texture = textures_[id];
  if (!texture) {
    texture = std::make_unique<Texture>();
    uses_.push_front(id);
    texture->use = uses_.begin();
  }
  uses_.splice(uses_.begin(), uses_, texture->use);
  if (texture->tile != tile) {
    bytes_ -= texture->map.bytes();
    texture->tile = tile;
    texture->map.upload(tile->largest, tile->mean, tile->rows, tile->columns);
    bytes_ += texture->map.bytes();
  }
  return *texture;
}

/// Textures of this frame are never dropped: the draw list names them until it is drawn.
void TilePainter::shrink() {
  constexpr std::size_t one_frame = 128;
  while (bytes_ > most_bytes_ && uses_.size() > one_frame) {
    const auto oldest = textures_.find(uses_.back());
    bytes_ -= oldest->second->map.bytes();
    textures_.erase(oldest);
    uses_.pop_back();
  }
}

/// A tile, or the part of the nearest coarser one that covers it.
TilePainter::Painted TilePainter::paint(const Order& order, const TileId& wanted, const Source& source) {
  const unsigned most = whole_level(order.queries, order.keys);
  for (TileId id = wanted; id.level <= most; ++id.level, id.row /= 2, id.column /= 2) {
    const bool itself = id.level == wanted.level;
    if (!itself && id.level != most && textures_.find(id) == textures_.end()) continue;  // only what is there, and the overview
    const auto tile = source(id, itself ? Urgency::seen : Urgency::overview);
    if (!tile || tile->rows == 0) {
      if (tile && itself) return Painted::tile;  // cannot be made; a message says why
      continue;
    }
    const Texture& texture = texture_of(id, tile);
    // The wanted tile's place in cells of this one.
    const double finer = std::ldexp(1.0, static_cast<int>(wanted.level) - static_cast<int>(id.level));
    const double side = static_cast<double>(tile_cells);
    const double first_row = static_cast<double>(wanted.row) * side * finer - static_cast<double>(id.row) * side;
    const double first_column = static_cast<double>(wanted.column) * side * finer - static_cast<double>(id.column) * side;
    const double rows = std::min(side * finer, static_cast<double>(tile->rows) - first_row), columns = std::min(side * finer, static_cast<double>(tile->columns) - first_column);
    if (rows <= 0.0 || columns <= 0.0) return itself ? Painted::tile : Painted::coarser;
    const double token = std::ldexp(1.0, static_cast<int>(id.level)), cell = token * order.porthole.pixels;
    const double row = (static_cast<double>(id.row) * side + first_row) * token, column = (static_cast<double>(id.column) * side + first_column) * token;
    const auto x = static_cast<float>(order.from.x + (column - order.porthole.left) * order.porthole.pixels);
    const auto y = static_cast<float>(order.from.y + (row - order.porthole.top) * order.porthole.pixels);
    texture.map.draw_part({static_cast<float>(first_row), static_cast<float>(first_column), static_cast<float>(rows), static_cast<float>(columns)}, {x, y},
                          {x + static_cast<float>(columns * cell), y + static_cast<float>(rows * cell)}, order.scale);
    return itself ? Painted::tile : Painted::coarser;
  }
  return Painted::nothing;
}

TilePainter::Drawn TilePainter::draw(const Order& order, const Source& source) {
  Drawn drawn;
  if (order.queries == 0 || order.keys == 0) return drawn;
  const unsigned most = whole_level(order.queries, order.keys);
  drawn.level = std::max(level_of(order.porthole.pixels, most), std::min(order.finest, most));
  drawn.complete = true;
  const double side = static_cast<double>(tile_cells << drawn.level);
  const auto place = [&](double tokens, std::size_t count) { return static_cast<std::size_t>(std::clamp(std::floor(tokens / side), 0.0, std::floor(static_cast<double>(count - 1) / side))); };
  const double bottom = order.porthole.top + (order.to.y - order.from.y) / order.porthole.pixels, right = order.porthole.left + (order.to.x - order.from.x) / order.porthole.pixels;
  for (std::size_t row = place(order.porthole.top, order.queries); row <= place(bottom, order.queries); ++row) {
    for (std::size_t column = place(order.porthole.left, order.keys); column <= place(right, order.keys); ++column) {
      const Painted painted = paint(order, {order.map, drawn.level, row, column}, source);
      drawn.complete &= painted == Painted::tile;
      drawn.anything |= painted != Painted::nothing;
    }
  }
  shrink();
  return drawn;
}

}  // namespace vitrine
