#include <algorithm>
#include <cmath>
#include <cstring>
#include <ranges>

#include "core/model/block_pass.h"

// [pos, pos] points: rows of every head's map, made by the pattern rule when somebody looks. Who writes one changes what the
// head puts out: z = weights x values, for the rows that were changed and no others.

namespace vitrine {
namespace {

constexpr std::size_t map_rows_at_once = 64;
constexpr std::size_t map_slot = 40, kept_slot = 41;  // behind the slots of the pass and of the logits

/// In its own place.
void softmax(std::span<float> row) {
  const float top = *std::ranges::max_element(row);
  double sum = 0.0;
  for (const float score : row) sum += std::isinf(top) ? 0.0 : std::exp(static_cast<double>(score - top));
  for (float& score : row) score = sum > 0.0 ? static_cast<float>(std::exp(static_cast<double>(score - top)) / sum) : 0.0f;
}

}  // namespace

bool BlockPass::wants_maps(const MapOf& of) const {
  return context_.taps.wants(at(of.index, Site::pattern, of.role)) || context_.taps.wants(at(of.index, Site::attn_scores, of.role));
}

void BlockPass::show_maps(const MapOf& of, std::span<const AttentionProblem> problems) {
  if (!wants_maps(of)) return;
  std::size_t first = 0;
  for (const AttentionProblem& problem : problems) {
    const std::size_t count = problem.q.extent(0);
    for (std::size_t row = 0; row < count; row += map_rows_at_once) {
      const std::size_t rows = std::min(map_rows_at_once, count - row);
      show_map_rows(of, problem, row, std::span(rows_.rows).subspan(first + row, rows));
    }
    first += count;
  }
}

void BlockPass::show_map_rows(const MapOf& of, const AttentionProblem& problem, std::size_t row, std::span<const RowRef> rows) {
  const std::size_t heads = problem.q.extent(1), keys = problem.k.kv_len, numbers = rows.size() * heads * keys;
  const PatternRule rule = context_.kernel.kernel->rule(context_.kernel.options).in_layer(static_cast<std::size_t>(of.index));
  const TensorView<float, 3> map{context_.workspace.floats(map_slot, numbers), {rows.size(), heads, keys}},
      kept{context_.workspace.floats(kept_slot, numbers), {rows.size(), heads, keys}};
  std::vector<char> marks(rows.size() * heads, 0);
  const TensorView<char, 2> written(marks.data(), {rows.size(), heads});  // whose z is made anew
  for (const Site site : {Site::attn_scores, Site::pattern}) {
    const ProbePoint point = at(of.index, site, of.role);
    const bool scores = site == Site::attn_scores;
    if (!context_.taps.wants(point)) continue;
    context_.ops.pool().run(heads, [&](std::size_t h, std::size_t) {
      for (std::size_t first = 0, end = 0; first < rows.size(); first = end + 1) {  // runs between rows whose weights are in the map already
        for (end = first; end < rows.size() && !written(end, h);) ++end;
        if (end > first) context_.ops.map_rows({problem, rule, h, row + first, scores}, {&map(first, h, 0), {end - first, keys}, {heads * keys, 1}});
      }
    });
    std::copy_n(map.data(), numbers, kept.data());
    context_.taps.show(point, rows, map);
    if (!context_.taps.writes(point)) continue;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t h = 0; h < heads; ++h) {
        if (std::memcmp(&map(r, h, 0), &kept(r, h, 0), keys * sizeof(float)) == 0) continue;
        written(r, h) = 1;
        if (scores) softmax({&map(r, h, 0), keys});
      }
    }
  }
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t first = 0; first < rows.size(); ++first) {
      std::size_t end = first;
      while (end < rows.size() && written(end, h)) ++end;
      if (end > first) context_.ops.weigh_values({problem, h, row + first}, {&map(first, h, 0), {end - first, keys}, {heads * keys, 1}});
      first = end;
    }
  }
}

}  // namespace vitrine
