#pragma once

#include <cstddef>

#include "kernels/pattern/pattern.h"

namespace vitrine {

/// A map pooled: what is left of squares of `cell` queries and keys.
struct MapCells {
  std::size_t cell = 0;          ///< a power of two
  TensorView<float, 2> largest;  ///< [ceil(rows / cell), ceil(keys / cell)] of the weights of a square
  TensorView<float, 2> sum;      ///< the same shape
};

/// Rows and keys of a map.
struct MapPart {
  std::size_t row = 0, rows = 0, key = 0, keys = 0;
};

/// Pools a part of a head's map, of which only some rows of scores exist at once. `row` and `key` must be multiples of cell; weights that
/// are masked count as 0. Plain softmax rules run on vectors, in f32 (weights within 1e-5 of pattern_tile's, relative); all others go
/// through pattern_tile.
void map_cells(const PatternFactors& factors, const MapPart& part, const MapCells& cells);

/// The first level of the pyramid of a text (FORMAT.md): the smallest square from 8 of which `tokens` make at most 256.
constexpr std::size_t pyramid_cells = 256, smallest_cell = 8;
constexpr std::size_t pyramid_cell(std::size_t tokens) {
  std::size_t cell = smallest_cell;
  while ((tokens + cell - 1) / cell > pyramid_cells) cell *= 2;
  return cell;
}

}  // namespace vitrine
