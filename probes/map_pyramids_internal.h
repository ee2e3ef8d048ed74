#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/model/observer.h"
#include "probes/recording_layout_internal.h"
#include "probes/row_buffer_internal.h"

namespace vitrine {

/// Pools the maps of long texts while their factors go by (FORMAT.md: /mips). Of a map only what kernels/pattern/map_cells.h needs
/// exists at once; of the factors, the keys of a text until its last query.
class MapPyramids {
 public:
  /// Where an attention's squares go, and by which rule its maps come from the factors as stored.
  struct Target {
    RowBuffer *largest, *mean;  ///< [squares, heads, width]
    std::size_t heads, kv_heads, head_dim;
    ScoreRule score;
    PatternRule rule;
  };
  void add(const AttentionPlace& place, Target target) { targets_.emplace(place, std::move(target)); }
  bool empty() const { return targets_.empty(); }
  const std::map<AttentionPlace, Target>& targets() const { return targets_; }

  /// The squares of a text's pyramid; 0: none, it is short. @param tokens  of the text, or of the source beside it where that is longer
  static std::size_t cell_of(std::size_t tokens);
  /// Squares of a row, in the file: enough for any text up to the longest.
  static std::size_t width(std::size_t longest);
  static constexpr std::size_t shortest_text = 1024;  ///< those that are longer have a pyramid

  /// First rows of all sequences, and one past the last; no sources beside a model with one stack.
  struct Starts {
    std::span<const std::size_t> text, source;
  };
  /// Rotated queries or keys, normalizers or thresholds, in the order of their rows and as they are multiplied; others are ignored.
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<const float, 3> values, const Starts& starts, Ops& ops);

 private:
  struct Sequence {
    std::size_t queries, keys, cell;  // cell > 0
  };
  struct Rows {
    std::vector<float> q, k, normalizer, threshold;  // [rows, heads, d_head], [rows, kv_heads, d_head], [rows, heads]; k of the whole text
    std::size_t pooled = 0;                          // rows that are no longer in q, normalizer and threshold
  };
  void pool(const Target& target, const Sequence& sequence, Rows& rows, Ops& ops);

  std::map<AttentionPlace, Target> targets_;
  std::map<std::pair<AttentionPlace, std::uint32_t>, Rows> rows_;  // of texts whose last query did not come yet
};

}  // namespace vitrine
