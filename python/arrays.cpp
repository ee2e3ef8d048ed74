#include "python/arrays_internal.h"

namespace vitrine {

Layout layout_of(Site site) {
  switch (site) {
    case Site::q: case Site::k: case Site::v: case Site::rot_q: case Site::rot_k: case Site::z: case Site::row_stats:
    case Site::q_norm_scale: case Site::q_norm_normalized: case Site::k_norm_scale: case Site::k_norm_normalized: return Layout::heads;
    case Site::normalizer: case Site::threshold: return Layout::numbers;
    default: return is_square(site) ? Layout::map : Layout::rows;
  }
}

bool has_source_keys(const ProbePoint& point) { return point.stack == Stack::encoder || point.role == AttentionRole::cross; }

bool has_source_rows(const ProbePoint& point) {
  const bool of_keys = point.site == Site::k || point.site == Site::v || point.site == Site::rot_k;
  return point.stack == Stack::encoder || (point.role == AttentionRole::cross && of_keys);
}

std::vector<pybind11::ssize_t> extents_of(Layout layout, std::size_t batch, std::size_t positions, const PointShape& shape) {
  const auto size = [](std::size_t extent) { return static_cast<pybind11::ssize_t>(extent); };
  switch (layout) {
    case Layout::rows: return {size(batch), size(positions), size(shape.width)};
    case Layout::heads: return {size(batch), size(positions), size(shape.heads), size(shape.width)};
    case Layout::numbers: return {size(batch), size(positions), size(shape.heads)};
    case Layout::map: break;
  }
  return {size(batch), size(shape.heads), size(positions), size(shape.width)};
}

}  // namespace vitrine
