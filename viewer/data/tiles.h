#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <tuple>
#include <vector>

#include "viewer/data/document.h"

// Attention maps of any length in tiles, made by background threads as they come into view.

namespace vitrine {

/// One head of one sequence of one recording.
struct MapId {
  std::shared_ptr<const Document> document;
  std::size_t module = 0, head = 0, sequence = 0;  ///< module: a place in Recording::modules()
  auto key() const { return std::tuple(document.get(), module, head, sequence); }
  bool operator==(const MapId& other) const { return key() == other.key(); }
};

constexpr std::size_t tile_cells = 256;

/// A square of a map. On level n a cell stands for 2^n x 2^n pairs of query and key; a tile has up to tile_cells cells on an axis.
struct TileId {
  MapId map;
  unsigned level = 0;
  std::size_t row = 0, column = 0;  ///< of tiles
  auto key() const { return std::tuple(map.key(), level, row, column); }
  bool operator<(const TileId& other) const { return key() < other.key(); }
};

/// Cells of a tile; NaN where every pair is masked.
struct Tile {
  std::size_t rows = 0, columns = 0;
  std::vector<float> largest, mean;  ///< [rows, columns] of the weights of a cell's pairs, those that are masked (0) with them
  std::size_t bytes() const { return (largest.size() + mean.size()) * sizeof(float); }
};

/// How soon a tile is needed.
enum class Urgency { overview, seen, thumbnail };

/// The tiles that were made, newest use first, and the threads that make them. The interface asks anew in every frame for what it
/// misses; what it no longer asks for is not made.
class TileCache {
 public:
  struct Options {
    std::size_t bytes = 256u << 20;  ///< of tiles and factors, least recently used ones go first
    std::size_t threads = 2;
    std::function<void()> ready = [] {};  ///< called by a background thread when a tile was made
  };
  TileCache();
  explicit TileCache(Options options);
  ~TileCache();
  TileCache(const TileCache&) = delete;
  TileCache& operator=(const TileCache&) = delete;

  /// Forgets what was asked for and not begun.
  void begin_frame();
  /// The tile if it is there; else it is asked for and null comes back.
  std::shared_ptr<const Tile> find(const TileId& tile, Urgency urgency);
  /// Whether anything is asked for or being made.
  bool busy() const;
  /// Waits until nothing is.
  void settle();
  std::size_t bytes() const;
  /// The last error of a background thread, once: one line, empty where there was none.
  std::string take_error();
  /// Drops everything of a document that was closed.
  void forget(const Document& document);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Makes a tile here and now, without any cache. @throws Error where the recording cannot be read
Tile make_tile(const TileId& id, const Recording::Head& head);

/// The highest level, whose one tile is the whole map.
constexpr unsigned whole_level(std::size_t queries, std::size_t keys) {
  unsigned level = 0;
  while (tile_cells << level < (queries > keys ? queries : keys)) ++level;
  return level;
}

}  // namespace vitrine
