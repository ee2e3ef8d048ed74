#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <vector>

#include "core/model/model_runner.h"
#include "core/model/observer.h"

namespace vitrine {

/// Keeps the values at some points in memory, text after text: what an analysis asks of a run whose rows it needs all at once.
class CapturedRows : public Observer {
 public:
  /// @param points  of the model, none of them square  @param texts  those that run_texts() will be given, which must outlive it
  CapturedRows(const ModelSpec& spec, std::span<const ProbePoint> points, std::span<const ModelText> texts);

  Access access(const ProbePoint& point) const override { return values_.contains(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;

  /// [rows of all texts, heads * width], NaN where nothing was shown
  TensorView<const float, 2> at(const ProbePoint& point) const;
  /// The rows of one text at a point.
  TensorView<const float, 2> at(const ProbePoint& point, std::size_t text) const;

 private:
  struct Values {
    std::vector<std::size_t> first_row;  // [texts + 1]
    std::size_t width = 0;
    std::vector<float> numbers;
  };
  std::map<ProbePoint, Values> values_;
};

/// Where a layer hands on the residual stream: before the first block, then after each. [blocks + 1]
std::vector<ProbePoint> residual_points(const ModelSpec& spec);
/// "embed", "0", "1", ...: the block behind which each of them lies.
std::vector<std::string> residual_labels(const ModelSpec& spec);

}  // namespace vitrine
