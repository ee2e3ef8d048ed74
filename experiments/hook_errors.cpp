#include "experiments/hook_errors.h"

#include <cmath>
#include <limits>

namespace vitrine {

HookError& HookError::operator+=(const HookError& other) {
  squared_distance += other.squared_distance;
  squared_size += other.squared_size;
  squared_other += other.squared_other;
  product += other.product;
  return *this;
}

double HookError::relative() const { return squared_size > 0.0 ? std::sqrt(squared_distance / squared_size) : std::numeric_limits<double>::quiet_NaN(); }

double HookError::cosine() const {
  return squared_size > 0.0 && squared_other > 0.0 ? product / std::sqrt(squared_size * squared_other) : std::numeric_limits<double>::quiet_NaN();
}

std::vector<ProbePoint> comparable_points(const ModelSpec& spec) {
  std::vector<ProbePoint> points;
  for (const ProbePoint& point : all_points(spec)) {
    const bool numbers = !is_square(point.site) && point.site != Site::threshold && point.site != Site::expert_indices && point.site != Site::row_stats;
    if (numbers && point.stream == Stream::content) points.push_back(point);
  }
  return points;
}

HookComparison::HookComparison(const PointValues& reference, std::span<const ProbePoint> points) : reference_(reference) {
  for (const ProbePoint& point : points) errors_.emplace(point, HookError());
}

void HookComparison::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  HookError& error = errors_.at(point);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      const std::span<const float> reference = reference_.row(point, rows[r].position, h);
      for (std::size_t i = 0; i < values.extent(2); ++i) {
        const auto a = static_cast<double>(values(r, h, i)), b = static_cast<double>(reference[i]);
        if (!std::isfinite(a) || !std::isfinite(b)) continue;
        error += {(a - b) * (a - b), b * b, a * a, a * b};
      }
    }
  }
}

std::string hook_name(const ProbePoint& point) {
  std::string name = point_name(point);
  const std::string block = "blocks." + std::to_string(point.block) + ".";
  const std::size_t place = name.find(block);
  if (point.block >= 0 && place != std::string::npos) name.replace(place, block.size(), "blocks.*.");
  return name;
}

}  // namespace vitrine
