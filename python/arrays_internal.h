#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/model/probe_point.h"
#include "core/tensor/tensor_view.h"

namespace vitrine {

using FloatArray = pybind11::array_t<float, pybind11::array::c_style | pybind11::array::forcecast>;

/// The axes that Python sees, TransformerLens' own.
enum class Layout {
  rows,     ///< [batch, pos, width]
  heads,    ///< [batch, pos, head, d_head]; of keys and values the heads that they have of their own
  numbers,  ///< [batch, pos, head]
  map,      ///< [batch, head, query, key]
};
Layout layout_of(Site site);

/// Whether a point's rows are those of the encoder's text, and whether its keys are.
bool has_source_rows(const ProbePoint& point);
bool has_source_keys(const ProbePoint& point);

/// Extents of an array of `positions` rows of each of `batch` sequences.
/// @param shape  heads and width of the point; of a map the number of keys is the width
std::vector<pybind11::ssize_t> extents_of(Layout layout, std::size_t batch, std::size_t positions, const PointShape& shape);

/// Between values of some rows of sequences of one length and an array of their own in Python's layout; a map's are of one sequence.
/// @param values  [rows, heads, width]
/// @param move    is called with (number in the values, number in the array, how many, their stride in the values)
template <typename Move>
void move_lines(TensorView<float, 3> values, Layout layout, float* array, const Move& move) {
  const std::size_t rows = values.extent(0), heads = values.extent(1), width = values.extent(2);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t h = 0; h < heads; ++h) {
      const std::size_t line = layout == Layout::map ? h * rows + r : r * heads + h;
      move(&values(r, h, 0), array + line * width, width, values.stride(2));
    }
  }
}

inline void copy_line(const float* from, std::size_t stride, float* to, std::size_t count) {
  if (stride == 1) return static_cast<void>(std::copy_n(from, count, to));
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i * stride];
}

}  // namespace vitrine
