#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "probes/recording.h"

namespace vitrine {

/// A piece of an attention map, reduced: each cell is the largest weight of step x step pairs; NaN where every pair is
/// masked.
struct MapImage {
  std::size_t row = 0, col = 0;    ///< first query and key
  std::size_t step = 1;            ///< tokens a cell covers on each axis
  std::size_t rows = 0, cols = 0;  ///< cells
  std::vector<float> values;       ///< [rows, cols]
  float largest = 0.0f;
};

struct MapRegion {
  std::size_t row = 0, col = 0;
  std::size_t rows = 0, cols = 0;  ///< tokens
  std::size_t query_stride = 1;    ///< > 1: only every n-th query is looked at (thumbnails)
};

/// Builds an image a few rows at a time, so that a long text does not stop the interface.
class MapBuilder {
 public:
  /// @param cells  most cells on an axis
  MapBuilder(std::shared_ptr<const Recording::Head> head, const MapRegion& region, std::size_t cells);
  bool done() const { return next_ >= image_.rows; }
  /// Works until it is done or the deadline has passed.
  void work(std::chrono::steady_clock::time_point deadline);
  const MapImage& image() const { return image_; }

 private:
  std::shared_ptr<const Recording::Head> head_;
  MapRegion region_;
  MapImage image_;
  std::size_t next_ = 0;  // row of cells
  std::vector<float> weights_;
};

}  // namespace vitrine
