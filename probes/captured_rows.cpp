#include "probes/captured_rows.h"

#include <cmath>
#include <limits>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// Whose rows a point has: an encoder's, whose keys and values cross attention keeps too, or the text's own.
bool is_of_source(const ProbePoint& point) {
  const bool keys = point.site == Site::k || point.site == Site::v || point.site == Site::rot_k;
  return point.stack == Stack::encoder || (point.role == AttentionRole::cross && keys);
}

}  // namespace

CapturedRows::CapturedRows(const ModelSpec& spec, std::span<const ProbePoint> points, std::span<const ModelText> texts) {
  for (const ProbePoint& point : points) {
    const PointShape shape = point_shape(spec, point);
    VITRINE_CHECK(shape.heads > 0 && !is_square(point.site));
    Values& values = values_[point];
    values.width = shape.heads * shape.width;
    values.first_row.assign(1, 0);
    for (const ModelText& text : texts) values.first_row.push_back(values.first_row.back() + (is_of_source(point) ? text.source : text.ids).size());
    values.numbers.assign(values.first_row.back() * values.width, std::numeric_limits<float>::quiet_NaN());
  }
}

void CapturedRows::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> shown) {
  Values& values = values_.at(point);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    float* target = &values.numbers[(values.first_row[rows[r].sequence] + rows[r].position) * values.width];
    for (std::size_t h = 0; h < shown.extent(1); ++h) {
      for (std::size_t d = 0; d < shown.extent(2); ++d) *target++ = shown(r, h, d);
    }
  }
}

TensorView<const float, 2> CapturedRows::at(const ProbePoint& point) const {
  const Values& values = values_.at(point);
  return {values.numbers.data(), {values.first_row.back(), values.width}};
}

TensorView<const float, 2> CapturedRows::at(const ProbePoint& point, std::size_t text) const {
  const Values& values = values_.at(point);
  return at(point).slice(values.first_row[text], values.first_row[text + 1] - values.first_row[text]);
}

std::vector<ProbePoint> residual_points(const ModelSpec& spec) {
  std::vector<ProbePoint> points;
  const int blocks = static_cast<int>(spec.blocks.size());
  for (int block = 0; block < blocks; ++block) points.push_back({.stack = spec.stack, .block = block, .site = Site::resid_pre});
  points.push_back({.stack = spec.stack, .block = blocks - 1, .site = Site::resid_post});
  return points;
}

std::vector<std::string> residual_labels(const ModelSpec& spec) {
  std::vector<std::string> labels{"embed"};
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) labels.push_back(std::to_string(block));
  return labels;
}

}  // namespace vitrine
