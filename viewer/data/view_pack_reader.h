#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "viewer/data/head_list.h"
#include "viewer/data/tiles.h"

namespace vitrine {

/// The maps of one text of a recording in one small file (docs/view-pack.md), for a program that has neither HDF5 nor threads.
class ViewPack {
 public:
  /// A stranger's bytes, not compressed: every size is checked against what is there before anything is read.
  /// @param where  names the pack in the Error  @throws Error
  ViewPack(std::string bytes, std::string_view where);

  const Json& about() const { return about_; }  ///< model, kernel, precision, ...: what they are is up to the writer
  const HeadList& heads() const { return heads_; }
  /// Labels of the tokens of a head's queries and keys; their numbers are the sizes of its map.
  const std::vector<std::string>& queries(std::size_t place) const { return texts_[modules_[heads_.places[place].module].queries]; }
  const std::vector<std::string>& keys(std::size_t place) const { return texts_[modules_[heads_.places[place].module].keys]; }
  /// The lowest level that there is of a head, see TileId.
  unsigned finest(std::size_t place) const { return maps_[place].finest; }
  /// 8 or 16, of a number of a head's cells.
  unsigned bits(std::size_t place) const { return maps_[place].bits; }
  /// Cells of the map; NaN where every pair is masked, infinity where a weight is no number.
  /// Levels are finest() to whole_level(); rows and columns as TileId counts them.
  Tile tile(std::size_t place, unsigned level, std::size_t row, std::size_t column) const;

 private:
  struct Module {
    std::size_t queries = 0, keys = 0;  // places in texts_
  };
  struct Map {
    unsigned finest = 0, bits = 8;
    std::uint64_t at = 0;  // of its first byte
  };
  void read_header(const Json& header);
  void read_texts(const Json& header);
  void read_heads(const Json& module);
  void read_map(const Json& head, std::size_t place);

  std::string bytes_, where_;
  Json about_;
  std::array<std::vector<std::string>, 2> texts_;  // the text's own, the encoder's
  HeadList heads_;
  std::vector<Module> modules_;
  std::vector<Map> maps_;
  std::uint64_t end_ = 0;  // of the maps that were read
};

}  // namespace vitrine
