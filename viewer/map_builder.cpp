#include "viewer/map_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vitrine {

MapBuilder::MapBuilder(std::shared_ptr<const Recording::Head> head, const MapRegion& region, std::size_t cells)
    : head_(std::move(head)), region_(region) {
  const std::size_t longest = std::max(region.rows, region.cols);
  image_.step = std::max<std::size_t>(1, (longest + cells - 1) / cells);
  image_.row = region.row;
  image_.col = region.col;
  image_.rows = (region.rows + image_.step - 1) / image_.step;
  image_.cols = (region.cols + image_.step - 1) / image_.step;
  image_.values.assign(image_.rows * image_.cols, std::numeric_limits<float>::quiet_NaN());
  weights_.resize(region.cols);
}

void MapBuilder::work(std::chrono::steady_clock::time_point deadline) {
  const PatternFactors& factors = head_->factors;
  const std::size_t columns = region_.col + region_.cols;
  while (!done()) {
    float* cells = image_.values.data() + next_ * image_.cols;
    const std::size_t first = region_.row + next_ * image_.step, last = std::min(first + image_.step, region_.row + region_.rows);
    for (std::size_t query = first; query < last; query += region_.query_stride) {
      // A causal row ends at its own key: nothing behind it needs to be computed.
      const std::size_t visible_end = factors.score.mask == Mask::causal ? std::min(columns, query + 1) : columns;
      if (visible_end <= region_.col) continue;
      const std::size_t count = visible_end - region_.col;
      pattern_tile(factors, query, region_.col, {weights_.data(), {1, count}});
      for (std::size_t j = 0; j < count; ++j) {
        if (!visible(factors.score, factors.rule, factors.q_start + query, region_.col + j)) continue;
        float& cell = cells[j / image_.step];
        cell = std::isnan(cell) ? weights_[j] : std::max(cell, weights_[j]);
        image_.largest = std::max(image_.largest, weights_[j]);
      }
    }
    ++next_;
    if (std::chrono::steady_clock::now() >= deadline) return;
  }
}

}  // namespace vitrine
