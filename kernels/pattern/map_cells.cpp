#include "kernels/pattern/map_cells.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "core/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pattern/map_cells.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"
#include "kernels/ops/exp-inl.h"

#ifndef VITRINE_MAP_CELLS_ONCE
#define VITRINE_MAP_CELLS_ONCE
namespace vitrine {

constexpr std::size_t keys_at_once = 256, rows_at_once = 4;

/// Which keys [begin, end) each row of a group sees.
struct SeenRange {
  std::size_t begin, end;
};

/// Some rows against some keys.
struct CellTile {
  const float* q[rows_at_once];
  float normalizer[rows_at_once];  // +inf: a row of zeros
  SeenRange seen[rows_at_once];
  std::size_t dim, first_key;
  float scale;
  const float* keys;               // [dim, keys_at_once], a column a key
  float *largest, *sum;            // [keys_at_once], of the rows before
};

}  // namespace vitrine
#endif

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

/// Adds a tile's weights to the largest and the sum of each key's column.
void pool_tile(const CellTile& tile, std::size_t begin, std::size_t end) {
  const Lanes f;
  const IntLanes whole;
  for (std::size_t j = begin; j < end; j += 2 * lanes) {
    Vector sums[rows_at_once][2];
    VITRINE_UNROLL
    for (std::size_t r = 0; r < rows_at_once; ++r) sums[r][0] = sums[r][1] = hn::Zero(f);
    for (std::size_t d = 0; d < tile.dim; ++d) {
      const Vector k0 = hn::LoadU(f, tile.keys + d * keys_at_once + j), k1 = hn::LoadU(f, tile.keys + d * keys_at_once + j + lanes);
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows_at_once; ++r) {
        const Vector q = hn::Set(f, tile.q[r][d]);
        sums[r][0] = hn::MulAdd(q, k0, sums[r][0]);
        sums[r][1] = hn::MulAdd(q, k1, sums[r][1]);
      }
    }
    VITRINE_UNROLL
    for (std::size_t half = 0; half < 2; ++half) {
      float *largest = tile.largest + j + half * lanes, *sum = tile.sum + j + half * lanes;
      Vector top = hn::LoadU(f, largest), total = hn::LoadU(f, sum);
      const auto key = hn::Iota(whole, static_cast<std::int32_t>(tile.first_key + j + half * lanes));
      VITRINE_UNROLL
      for (std::size_t r = 0; r < rows_at_once; ++r) {
        const Vector weight = exp_of_negative(hn::MulSub(sums[r][half], hn::Set(f, tile.scale), hn::Set(f, tile.normalizer[r])));
        const auto seen = hn::AndNot(hn::Lt(key, hn::Set(whole, static_cast<std::int32_t>(tile.seen[r].begin))),
                                     hn::Lt(key, hn::Set(whole, static_cast<std::int32_t>(tile.seen[r].end))));
        const Vector counted = hn::IfThenElseZero(hn::RebindMask(f, seen), weight);
        top = hn::Max(top, counted);
        total = hn::Add(total, counted);
      }
      hn::StoreU(top, f, largest);
      hn::StoreU(total, f, sum);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(pool_tile);

/// Whether a row's visible keys are one range and its scores are products alone.
bool is_plain(const PatternFactors& factors) {
  const ScoreRule& score = factors.score;
  const std::optional<ScoreRule> both = narrowed(score, factors.rule);
  return both && both->sinks == 0 && score.soft_cap == 0.0f && score.by_distance.empty() && score.content.empty() && score.allowed.empty() && score.additive.empty();
}

SeenRange seen_by(const PatternFactors& factors, std::size_t row) {
  const ScoreRule score = *narrowed(factors.score, factors.rule);
  const std::size_t position = factors.q_start + row, keys = factors.k.extent(0);
  SeenRange range{0, score.mask == Mask::causal ? std::min(keys, position + 1) : keys};
  if (score.window == 0) return range;
  if (position + 1 > score.window) range.begin = std::min(keys, position + 1 - score.window);
  range.end = std::min(range.end, position + score.window);
  return range;
}

float as_multiplied(const PatternRule& rule, float number) { return rule.bf16_factors ? f32_from_bf16(bf16_from_f32(number)) : number; }

/// Pools the columns of one row of squares.
struct Columns {
  std::vector<float> largest = std::vector<float>(keys_at_once), sum = std::vector<float>(keys_at_once);

  void clear() {
    std::ranges::fill(largest, 0.0f);
    std::ranges::fill(sum, 0.0f);
  }
  /// @param first_key  counted from the part's own first
  void pool_into(const MapCells& cells, std::size_t cell_row, std::size_t first_key, std::size_t keys) const {
    const std::size_t step = std::min(cells.cell, keys_at_once);
    for (std::size_t begin = 0; begin < keys; begin += step) {
      float top = 0.0f, total = 0.0f;
      for (std::size_t j = begin; j < std::min(keys, begin + step); ++j) {
        top = std::max(top, largest[j]);
        total += sum[j];
      }
      const std::size_t column = (first_key + begin) / cells.cell;
      cells.largest(cell_row, column) = std::max(cells.largest(cell_row, column), top);
      cells.sum(cell_row, column) += total;
    }
  }
};

class PlainPool {
 public:
  PlainPool(const PatternFactors& factors, const MapPart& part)
      : factors_(factors), part_(part), dim_(factors.q.extent(1)), keys_(dim_ * keys_at_once), queries_(part.rows * dim_) {
    for (std::size_t i = 0; i < part.rows * dim_; ++i) queries_[i] = as_multiplied(factors.rule, factors.q(part.row + i / dim_, i % dim_));
    for (std::size_t i = 0; i < part.rows; ++i) seen_.push_back(seen_by(factors, part.row + i));
  }

  void pool(const MapCells& cells) {
    for (std::size_t first = 0; first < part_.keys; first += keys_at_once) pool_keys(cells, first);
  }

 private:
  void pool_keys(const MapCells& cells, std::size_t first) {
    const std::size_t count = std::min(keys_at_once, part_.keys - first), first_key = part_.key + first;
    const auto met = [&](const SeenRange& seen) { return seen.begin < first_key + count && seen.end > first_key; };
    if (std::ranges::none_of(seen_, met)) return;
    for (std::size_t d = 0; d < dim_; ++d) {
      for (std::size_t j = 0; j < keys_at_once; ++j) {
        keys_[d * keys_at_once + j] = j < count ? as_multiplied(factors_.rule, factors_.k(first_key + j, d)) : 0.0f;
      }
    }
    for (std::size_t begin = 0; begin < part_.rows; begin += cells.cell) {
      const std::size_t end = std::min(part_.rows, begin + cells.cell);
      if (std::none_of(seen_.begin() + static_cast<std::ptrdiff_t>(begin), seen_.begin() + static_cast<std::ptrdiff_t>(end), met)) continue;
      columns_.clear();
      for (std::size_t i = begin; i < end; i += rows_at_once) pool_rows(i, end, first_key, count);
      columns_.pool_into(cells, begin / cells.cell, first, count);
    }
  }

  void pool_rows(std::size_t begin, std::size_t end, std::size_t first_key, std::size_t count) {
    CellTile tile{.q = {}, .normalizer = {}, .seen = {}, .dim = dim_, .first_key = first_key, .scale = factors_.score.scale,
                  .keys = keys_.data(), .largest = columns_.largest.data(), .sum = columns_.sum.data()};
    std::size_t first = count, last = 0;
    for (std::size_t r = 0; r < rows_at_once; ++r) {
      const std::size_t i = std::min(begin + r, end - 1);
      tile.q[r] = queries_.data() + i * dim_;
      const float normalizer = factors_.normalizer[part_.row + i];
      const bool none = begin + r >= end || (std::isinf(normalizer) && normalizer < 0);
      tile.normalizer[r] = none ? std::numeric_limits<float>::infinity() : normalizer;
      tile.seen[r] = none ? SeenRange{0, 0} : seen_[i];
      if (none || seen_[i].end <= first_key) continue;
      first = std::min(first, std::max(seen_[i].begin, first_key) - first_key);
      last = std::max(last, std::min(seen_[i].end - first_key, count));
    }
    constexpr std::size_t step = 32;  // two vectors at the most
    if (first < last) HWY_DYNAMIC_DISPATCH(pool_tile)(tile, first / step * step, last);
  }

  const PatternFactors& factors_;
  MapPart part_;
  std::size_t dim_;
  std::vector<float> keys_, queries_;
  std::vector<SeenRange> seen_;
  Columns columns_;
};

/// Any rule, by its tiles.
void pool_tiles(const PatternFactors& factors, const MapPart& part, const MapCells& cells) {
  std::vector<float> weights(cells.cell * keys_at_once);
  for (std::size_t i = 0; i < part.rows; i += cells.cell) {
    const std::size_t some = std::min(cells.cell, part.rows - i);
    for (std::size_t first_key = 0; first_key < part.keys; first_key += keys_at_once) {
      const std::size_t count = std::min(keys_at_once, part.keys - first_key);
      const TensorView<float, 2> tile{weights.data(), {some, count}};
      pattern_tile(factors, part.row + i, part.key + first_key, tile);
      Columns columns;
      for (std::size_t r = 0; r < some; ++r) {
        for (std::size_t j = 0; j < count; ++j) {
          columns.largest[j] = std::max(columns.largest[j], tile(r, j));
          columns.sum[j] += tile(r, j);
        }
      }
      columns.pool_into(cells, i / cells.cell, first_key, count);
    }
  }
}

}  // namespace

void map_cells(const PatternFactors& factors, const MapPart& part, const MapCells& cells) {
  VITRINE_CHECK(cells.cell > 0 && (cells.cell & (cells.cell - 1)) == 0 && part.row % cells.cell == 0 && part.key % cells.cell == 0);
  VITRINE_CHECK(part.row + part.rows <= factors.q.extent(0) && part.key + part.keys <= factors.k.extent(0));
  VITRINE_CHECK(cells.largest.extent(0) == (part.rows + cells.cell - 1) / cells.cell && cells.largest.extent(1) == (part.keys + cells.cell - 1) / cells.cell);
  for (std::size_t i = 0; i < cells.largest.extent(0); ++i) {
    for (std::size_t j = 0; j < cells.largest.extent(1); ++j) cells.largest(i, j) = cells.sum(i, j) = 0.0f;
  }
  is_plain(factors) ? PlainPool(factors, part).pool(cells) : pool_tiles(factors, part, cells);
}

}  // namespace vitrine
#endif
