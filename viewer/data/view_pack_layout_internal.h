#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "viewer/data/tiles.h"

// Where what lies in a view pack (docs/view-pack.md): what its writer and its reader share. Sizes are of 64 bits also where pointers are not.

namespace vitrine {

constexpr std::string_view pack_mark = "VITRPACK";
constexpr std::uint32_t pack_version = 1;
constexpr std::size_t pack_front = 16;                 // bytes: mark, version, bytes of the header
constexpr std::size_t pack_most_tokens = 1u << 20;     // of a text
constexpr std::size_t pack_most_heads = 1u << 16;      // of a pack
constexpr std::uint64_t pack_tile_front = 8;           // bytes: two f32, what the largest code of each plane stands for

/// A code is a number's root as a share of the scale's: value = scale * (code / top)^2.
struct PackCodes {
  unsigned bits = 8;
  std::uint32_t top() const { return bits == 8 ? 253 : 65533; }
  std::uint32_t no_number() const { return top() + 1; }
  std::uint32_t masked() const { return top() + 2; }
};

/// A map's levels, the whole one first.
struct PackShape {
  std::uint64_t queries = 0, keys = 0;
  unsigned finest = 0, bits = 8;

  static std::uint64_t cells(std::uint64_t tokens, unsigned level) { return (tokens + (std::uint64_t{1} << level) - 1) >> level; }
  static std::uint64_t tiles(std::uint64_t tokens, unsigned level) { return (cells(tokens, level) + tile_cells - 1) / tile_cells; }
  /// Cells of the tile at a place among the tiles of an axis.
  static std::uint64_t side(std::uint64_t tokens, unsigned level, std::uint64_t place) { return std::min<std::uint64_t>(tile_cells, cells(tokens, level) - place * tile_cells); }

  unsigned whole() const { return whole_level(static_cast<std::size_t>(queries), static_cast<std::size_t>(keys)); }
  /// Of a cell: the largest and the mean, which are the same where it is one pair.
  std::uint64_t cell_bytes(unsigned level) const { return (level == 0 ? 1 : 2) * bits / 8; }
  std::uint64_t level_bytes(unsigned level) const {
    return tiles(queries, level) * tiles(keys, level) * pack_tile_front + cells(queries, level) * cells(keys, level) * cell_bytes(level);
  }
  std::uint64_t bytes() const { return offset(finest, 0, 0) + level_bytes(finest); }
  /// Of a tile, from the map's first byte on.
  std::uint64_t offset(unsigned level, std::uint64_t row, std::uint64_t column) const {
    std::uint64_t before = 0;
    for (unsigned coarser = whole(); coarser > level; --coarser) before += level_bytes(coarser);
    const std::uint64_t above = row * tile_cells * cells(keys, level), left = column * tile_cells * side(queries, level, row);
    return before + (row * tiles(keys, level) + column) * pack_tile_front + (above + left) * cell_bytes(level);
  }
};

}  // namespace vitrine
