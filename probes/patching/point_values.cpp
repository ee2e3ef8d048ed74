#include "probes/patching/point_values.h"

#include "core/base/error.h"

namespace vitrine {

PointValues::PointValues(std::vector<ProbePoint> points, std::uint32_t sequence) : sequence_(sequence) {
  for (const ProbePoint& point : points) kept_.emplace(point, Kept());
}

void PointValues::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  Kept& kept = kept_.at(point);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].sequence != sequence_) continue;
    kept.heads = values.extent(1);
    for (std::size_t h = 0; h < kept.heads; ++h) {
      for (std::size_t i = 0; i < values.extent(2); ++i) kept.numbers.push_back(values(r, h, i));
    }
    kept.begin.push_back(kept.numbers.size());
  }
}

std::size_t PointValues::rows(const ProbePoint& point) const { return kept_.at(point).begin.size() - 1; }

std::span<const float> PointValues::row(const ProbePoint& point, std::size_t position, std::size_t head) const {
  const Kept& of = kept_.at(point);
  VITRINE_CHECK(position + 1 < of.begin.size() && head < of.heads);
  const std::size_t begin = of.begin[position], width = (of.begin[position + 1] - begin) / of.heads;
  return std::span(of.numbers).subspan(begin + head * width, width);
}

TensorView<const float, 2> PointValues::matrix(const ProbePoint& point) const {
  const Kept& of = kept_.at(point);
  const std::size_t count = of.begin.size() - 1;
  VITRINE_CHECK(of.heads == 1 && count > 0 && !is_square(point.site));
  return {of.numbers.data(), {count, of.numbers.size() / count}};
}

}  // namespace vitrine
