#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/model/observer.h"
#include "probes/patching/point_values.h"

namespace vitrine {

/// Sums over the numbers of one hook in two runs of the same text.
struct HookError {
  double squared_distance = 0.0, squared_size = 0.0, squared_other = 0.0, product = 0.0;

  HookError& operator+=(const HookError& other);
  double relative() const;  ///< ||a - b|| / ||b||, b the reference (Frobenius); NaN where b is 0
  double cosine() const;    ///< NaN where one side is 0
};

/// Every point of a model that holds numbers of its own: no maps, no indices, no thresholds.
std::vector<ProbePoint> comparable_points(const ModelSpec& spec);

/// Compares a run with values kept of a reference's run of the same text, as it goes.
class HookComparison : public Observer {
 public:
  HookComparison(const PointValues& reference, std::span<const ProbePoint> points);
  Access access(const ProbePoint& point) const override { return errors_.contains(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;
  const std::map<ProbePoint, HookError>& errors() const { return errors_; }

 private:
  const PointValues& reference_;
  std::map<ProbePoint, HookError> errors_;
};

/// "blocks.*.attn.hook_q": the name of a point with its block left open.
std::string hook_name(const ProbePoint& point);

}  // namespace vitrine
