#include "probes/pooled_map.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace vitrine {
namespace {

std::size_t squares_of(std::size_t tokens, std::size_t cell) { return (tokens + cell - 1) / cell; }

/// Which pairs of a map can be seen at all.
struct Sight {
  const ScoreRule& score;
  const PatternRule& rule;
  std::size_t q_start = 0, keys = 0;

  bool causal() const { return score.mask == Mask::causal; }
  /// The mask of q alone says everything.
  bool plain() const { return rule.kind != PatternKind::softmax_blocks && score.allowed.empty() && score.window == 0 && rule.window == 0; }
  bool sees_any(const MapPart& part) const {
    if (causal() && part.key > q_start + part.row + part.rows - 1) return false;
    if (plain()) return true;
    for (std::size_t row = part.row; row < part.row + part.rows; ++row) {
      const RowMask mask(score, rule, q_start, row, keys);
      for (std::size_t key = part.key; key < part.key + part.keys; ++key) {
        if (mask.sees(key)) return true;
      }
    }
    return false;
  }
};

/// Cells whose pairs are all masked become NaN. Only a cell without any weight can be one.
void mark_masked(PooledMap& map, const Sight& sight, const MapPart& part) {
  const std::size_t cell = map.cell;
  if (!sight.causal() && sight.plain()) return;
  for (std::size_t r = 0; r < map.rows; ++r) {
    for (std::size_t c = 0; c < map.columns; ++c) {
      const std::size_t at = r * map.columns + c, row = part.row + r * cell, key = part.key + c * cell;
      if (map.largest[at] != 0.0f) continue;
      const MapPart pairs{row, std::min(cell, part.row + part.rows - row), key, std::min(cell, part.key + part.keys - key)};
      if (!sight.sees_any(pairs)) map.largest[at] = map.mean[at] = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

}  // namespace

std::size_t pooled_cell(std::size_t tokens, std::size_t most) {
  std::size_t cell = 1;
  while (squares_of(tokens, cell) > most) cell *= 2;
  return cell;
}

std::optional<PooledMap> stored_pooled_map(const Recording& recording, const Recording::Module& module, std::size_t head, std::size_t sequence, std::size_t cell) {
  if (module.allowed) return {};
  std::optional<Recording::Squares> squares = recording.squares(module, head, sequence);
  if (!squares || squares->cell > cell) return {};
  std::size_t level = 0;
  while (squares->cell << level < cell) ++level;
  if (level > 0) squares = recording.squares(module, head, sequence, level);
  if (!squares || squares->cell != cell) return {};
  const std::size_t queries = recording.rows_of(sequence, module.queries).count, keys = recording.rows_of(sequence, module.keys).count;
  PooledMap map{cell, squares->rows, squares->columns, std::move(squares->largest), std::move(squares->mean)};
  mark_masked(map, {module.score, module.rule, 0, keys}, {0, queries, 0, keys});
  return map;
}

PooledMap pooled_map(const Recording::Head& head, const MapPart& part, std::size_t cell) {
  const PatternFactors& factors = head.factors;
  PooledMap map{cell, squares_of(part.rows, cell), squares_of(part.keys, cell), {}, {}};
  map.largest.resize(map.rows * map.columns);
  map.mean.resize(map.rows * map.columns);
  const TensorView<float, 2> sums{map.mean.data(), {map.rows, map.columns}};
  const bool hidden = factors.score.mask == Mask::causal && part.key > factors.q_start + part.row + part.rows - 1;
  if (!hidden) map_cells(factors, part, {cell, {map.largest.data(), {map.rows, map.columns}}, sums});
  for (std::size_t r = 0; r < map.rows; ++r) {
    for (std::size_t c = 0; c < map.columns; ++c) {
      sums(r, c) /= static_cast<float>(std::min(cell, part.rows - r * cell) * std::min(cell, part.keys - c * cell));
      // The largest of numbers passes over one that is none; their sum does not, and such a square is to be seen.
      if (!std::isfinite(sums(r, c))) map.largest[r * map.columns + c] = sums(r, c) = std::numeric_limits<float>::infinity();
    }
  }
  mark_masked(map, {factors.score, factors.rule, factors.q_start, factors.k.extent(0)}, part);
  return map;
}

PooledMap pooled_map(const Recording::Head& head, std::size_t cell) { return pooled_map(head, {0, head.factors.q.extent(0), 0, head.factors.k.extent(0)}, cell); }

}  // namespace vitrine
