#pragma once

#include <map>
#include <span>
#include <vector>

#include "core/model/observer.h"

namespace vitrine {

/// Keeps the values of some points of one sequence, row by row as they come.
class PointValues : public Observer {
 public:
  /// @param sequence  the others are passed over
  explicit PointValues(std::vector<ProbePoint> points, std::uint32_t sequence = 0);

  Access access(const ProbePoint& point) const override { return kept_.contains(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;

  std::size_t rows(const ProbePoint& point) const;
  /// One head of one row.  [width] (of a map: as many keys as the row's pass had)
  std::span<const float> row(const ProbePoint& point, std::size_t position, std::size_t head = 0) const;
  std::size_t heads(const ProbePoint& point) const { return kept_.at(point).heads; }
  /// All rows of a point with one head that is no map.  [rows, width]
  TensorView<const float, 2> matrix(const ProbePoint& point) const;

 private:
  struct Kept {
    std::size_t heads = 0;
    std::vector<std::size_t> begin{0};  // of each row in `numbers`, and one past the last: rows of a map grow with its keys
    std::vector<float> numbers;         // rows of [heads, width]
  };
  std::map<ProbePoint, Kept> kept_;
  std::uint32_t sequence_;
};

}  // namespace vitrine
