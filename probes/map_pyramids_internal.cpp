#include "probes/map_pyramids_internal.h"

#include <algorithm>

#include "kernels/pattern/map_cells.h"

namespace vitrine {
namespace {

void append_rows(TensorView<const float, 3> values, std::vector<float>& numbers) {
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      for (std::size_t d = 0; d < values.extent(2); ++d) numbers.push_back(values(r, h, d));
    }
  }
}

/// Gives the memory back where nothing is left, as it mostly is.
void drop_first(std::vector<float>& numbers, std::size_t count) {
  if (numbers.size() == count) numbers = {};
  if (!numbers.empty()) numbers.erase(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(count));
}

/// One of `heads` columns of rows of single numbers.
std::vector<float> column(const std::vector<float>& numbers, std::size_t heads, std::size_t head, std::size_t rows) {
  std::vector<float> result;
  for (std::size_t i = 0; i < rows && !numbers.empty(); ++i) result.push_back(numbers[i * heads + head]);
  return result;
}

}  // namespace

std::size_t MapPyramids::cell_of(std::size_t tokens) { return tokens > shortest_text ? pyramid_cell(tokens) : 0; }

std::size_t MapPyramids::width(std::size_t longest) {
  return std::min(pyramid_cells, (longest + smallest_cell - 1) / smallest_cell);
}

void MapPyramids::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<const float, 3> values, const Starts& starts, Ops& ops) {
  const auto target = targets_.find(place_of(point));
  const bool kept = point.site == Site::rot_q || point.site == Site::rot_k || point.site == Site::normalizer || point.site == Site::threshold;
  if (target == targets_.end() || !kept) return;
  const auto tokens = [](std::span<const std::size_t> first, std::uint32_t s) { return s + 1 < first.size() ? first[s + 1] - first[s] : 0; };
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {  // sequence by sequence
    const std::uint32_t number = rows[begin].sequence;
    while (end < rows.size() && rows[end].sequence == number) ++end;
    const std::size_t text = tokens(starts.text, number), source = tokens(starts.source, number), cell = cell_of(std::max(text, source));
    if (cell == 0) continue;
    const ProbePoint keys = target->first.point(Site::rot_k);
    const Sequence sequence{point.stack == Stack::encoder ? source : text, has_encoder_rows(keys) ? source : text, cell};
    const std::pair key(target->first, number);
    Rows& pending = rows_[key];
    if (point.site == Site::rot_k) pending.k.reserve(sequence.keys * target->second.kv_heads * target->second.head_dim);
    append_rows(values.slice(begin, end - begin), point.site == Site::rot_q   ? pending.q
                                                  : point.site == Site::rot_k ? pending.k
                                                  : point.site == Site::normalizer ? pending.normalizer
                                                                                   : pending.threshold);
    pool(target->second, sequence, pending, ops);
    if (pending.pooled == sequence.queries) rows_.erase(key);
  }
}

void MapPyramids::pool(const Target& target, const Sequence& sequence, Rows& rows, Ops& ops) {
  const std::size_t heads = target.heads, dim = target.head_dim, width = target.largest->dataset().width(), cell = sequence.cell;
  std::size_t count = std::min(rows.q.size() / (heads * dim), rows.normalizer.size() / heads);
  if (target.rule.kind == PatternKind::softmax_top_k) count = std::min(count, rows.threshold.size() / heads);
  if (rows.pooled + count < sequence.queries) count = count / cell * cell;
  if (count == 0) return;
  const std::size_t keys = rows.k.size() / (target.kv_heads * dim), down = (count + cell - 1) / cell, across = (keys + cell - 1) / cell;
  std::vector<float> largest(down * heads * width), mean(down * heads * width);
  ops.pool().run(heads, [&](std::size_t h, std::size_t) {
    const std::vector<float> normalizer = column(rows.normalizer, heads, h, count), threshold = column(rows.threshold, heads, h, count);
    PatternFactors factors;
    factors.q = {rows.q.data() + h * dim, {count, dim}, {heads * dim, 1}};
    factors.k = {rows.k.data() + h / (heads / target.kv_heads) * dim, {keys, dim}, {target.kv_heads * dim, 1}};
    factors.normalizer = normalizer;
    factors.threshold = threshold;
    factors.score = target.score;
    factors.rule = target.rule;
    factors.q_start = rows.pooled;
    factors.head = h;
    const TensorView<float, 2> sums{mean.data() + h * width, {down, across}, {heads * width, 1}};
    map_cells(factors, {0, count, 0, factors.k.extent(0)}, {cell, {largest.data() + h * width, {down, across}, {heads * width, 1}}, sums});
    for (std::size_t i = 0; i < down; ++i) {
      for (std::size_t j = 0; j < across; ++j) {
        sums(i, j) /= static_cast<float>(std::min(cell, sequence.queries - rows.pooled - i * cell) * std::min(cell, sequence.keys - j * cell));
      }
    }
  });
  target.largest->append({largest.data(), {down, heads, width}}, ops);
  target.mean->append({mean.data(), {down, heads, width}}, ops);
  rows.pooled += count;
  drop_first(rows.q, count * heads * dim);
  drop_first(rows.normalizer, count * heads);
  drop_first(rows.threshold, count * heads);
}

}  // namespace vitrine
