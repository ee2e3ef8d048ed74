#include <algorithm>

#include "core/model/observer.h"

namespace vitrine {

TapPlan::TapPlan(const ModelSpec& spec, std::span<Observer* const> observers)
    : observers_(observers.begin(), observers.end()), blocks_(spec.blocks.size() + 1) {
  for (const ModelSpec& encoder : spec.encoder) blocks_ = std::max(blocks_, encoder.blocks.size() + 1);
  any_.resize((lane_of({.stack = Stack::encoder}) + 1) * blocks_);
  write_.resize(any_.size());
  for (const ProbePoint& point : all_points(spec)) {
    const std::size_t row = lane_of(point) * blocks_ + static_cast<std::size_t>(point.block + 1);
    const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(point.site);
    for (const Observer* observer : observers_) {
      const Access access = observer->access(point);
      if (access != Access::none) any_[row] |= bit;
      if (access == Access::write) write_[row] |= bit;
    }
  }
}

TapPlan TapPlan::followed_by(const TapPlan& after) const {
  if (observers_.empty()) return after;
  TapPlan plan = *this;
  plan.observers_.insert(plan.observers_.end(), after.observers_.begin(), after.observers_.end());
  for (std::size_t row = 0; row < after.any_.size(); ++row) {
    plan.any_[row] |= after.any_[row];
    plan.write_[row] |= after.write_[row];
  }
  return plan;
}

void TapPlan::show(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) const {
  constexpr std::size_t chunk = 512;
  for (std::size_t begin = 0; begin < rows.size(); begin += chunk) {
    const std::size_t count = std::min(chunk, rows.size() - begin);
    for (Observer* observer : observers_) {
      if (observer->access(point) != Access::none) {
        observer->see(point, rows.subspan(begin, count), values.slice(begin, count));
      }
    }
  }
}

void TapPlan::show_rule(const ProbePoint& point, std::span<const RowRef> rows, const ScoreRule& rule) const {
  for (Observer* observer : observers_) {
    if (observer->access(point) != Access::none) observer->see_rule(point, rows, rule);
  }
}

}  // namespace vitrine
