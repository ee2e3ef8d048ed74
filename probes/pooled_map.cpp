#include "probes/pooled_map.h"

#include <cmath>
#include <limits>

#include "kernels/pattern/map_cells.h"
#include "probes/head_maps.h"

namespace vitrine {
namespace {

std::size_t squares_of(std::size_t tokens, std::size_t cell) { return (tokens + cell - 1) / cell; }

/// A square behind the last query of its row of squares is masked as a whole.
void mask_order(Mask mask, PooledMap& map) {
  if (mask != Mask::causal) return;
  for (std::size_t r = 0; r < map.rows; ++r) {
    for (std::size_t c = r + 1; c < map.columns; ++c) map.largest[r * map.columns + c] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace

std::size_t pooled_cell(std::size_t tokens, std::size_t most) {
  std::size_t cell = 1;
  while (squares_of(tokens, cell) > most) cell *= 2;
  return cell;
}

std::optional<PooledMap> stored_pooled_map(const Recording& recording, const Recording::Module& module, std::size_t head, std::size_t sequence, std::size_t cell) {
  std::optional<Recording::Squares> squares = recording.squares(module, head, sequence);
  if (!squares || squares->cell > cell) return {};
  std::size_t level = 0;
  while (squares->cell << level < cell) ++level;
  if (level > 0) squares = recording.squares(module, head, sequence, level);
  PooledMap map{squares->cell, squares->rows, squares->columns, std::move(squares->largest)};
  mask_order(module.score.mask, map);
  return map;
}

PooledMap pooled_map(const Recording::Head& head, std::size_t cell) {
  const std::size_t queries = head.factors.q.extent(0), keys = head.factors.k.extent(0);
  PooledMap map{cell, squares_of(queries, cell), squares_of(keys, cell), {}};
  map.largest.assign(map.rows * map.columns, 0.0f);
  if (cell >= smallest_cell) {
    std::vector<float> sums(map.largest.size());

    map_cells(head.factors, 0, queries, {cell, {map.largest.data(), {map.rows, map.columns}}, {sums.data(), {map.rows, map.columns}}});
  } else {
    each_map_row(head, queries, [&](std::size_t row, std::span<const float> weights) {
      for (std::size_t j = 0; j < keys; ++j) {
        float& largest = map.largest[row / cell * map.columns + j / cell];
        if (!(weights[j] <= largest) && !std::isnan(largest)) largest = weights[j];  // a NaN stays, and is shown as one
      }
    });
  }
  mask_order(head.factors.score.mask, map);
  return map;
}

}  // namespace vitrine
