#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/run.h"
#include "viewer/data/head_shelf.h"

// The few keys that queries read most: what lines between tokens show of maps that are too large to draw every pair.

namespace vitrine {

/// A query, or square of queries, and a key that it reads.
struct Link {
  std::uint32_t query = 0, key = 0;  ///< tokens; the first of a square where squares are taken
  std::uint32_t head = 0;
  float weight = 0.0f;  ///< the largest of a square
};

/// What links are of.
struct LinkOrder {
  MapId map;  ///< its head, or of `all_heads` the head is 0
  bool all_heads = false;
  std::size_t first = 0, rows = 0;  ///< queries; `first` a multiple of `cell`
  std::size_t cell = 1;             ///< tokens of a square on each axis, a power of two
  std::size_t most = 3;             ///< links of a query and head
  bool without_first = false;       ///< the first token, which many heads look at when nothing fits, is left out
  bool operator==(const LinkOrder&) const = default;
};
/// The strongest links of each query, by head and query. Squares come from the recording's pyramid where it has them.
/// @throws Error where the recording cannot be read; Cancelled
std::vector<Link> strongest_links(const LinkOrder& order, HeadShelf& shelf, Run& run);

/// What one token reads in every layer.
struct LayerOrder {
  MapId map;          ///< module: one whose sides are those that are followed; head
  bool mean = false;  ///< of all heads of each layer, in the place of the one head
  std::size_t query = 0, most = 3;
  bool without_first = false;
  bool operator==(const LayerOrder&) const = default;
};
struct LayerLinks {
  std::size_t module = 0;   ///< a place in Recording::modules()
  std::vector<Link> links;  ///< strongest first; none where the layer has no such head
};
/// For each module with the same sides, in the order of the forward pass. @throws as strongest_links
std::vector<LayerLinks> links_through_layers(const LayerOrder& order, HeadShelf& shelf, Run& run);

}  // namespace vitrine
