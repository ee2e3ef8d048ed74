#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/model/block_pass.h"

// [pos, pos] points: rows of every head's map, made by the pattern rule when somebody looks. Who writes one changes what the
// head puts out: z = weights x values, for the heads that were changed and no others.

namespace vitrine {
namespace {

constexpr std::size_t map_rows_at_once = 64;
constexpr std::size_t map_slot = 40, kept_slot = 41;  // behind the slots of the pass and of the logits

void softmax_rows(TensorView<const float, 3> scores, std::size_t head, TensorView<float, 3> weights) {
  for (std::size_t i = 0; i < scores.extent(0); ++i) {
    const float* row = &scores(i, head, 0);
    const float top = *std::max_element(row, row + scores.extent(2));
    double sum = 0.0;
    for (std::size_t j = 0; j < scores.extent(2); ++j) sum += std::isinf(top) ? 0.0 : std::exp(static_cast<double>(row[j] - top));
    for (std::size_t j = 0; j < scores.extent(2); ++j) {
      weights(i, head, j) = sum > 0.0 ? static_cast<float>(std::exp(static_cast<double>(row[j] - top)) / sum) : 0.0f;
    }
  }
}

bool head_changed(TensorView<const float, 3> a, TensorView<const float, 3> b, std::size_t head) {
  for (std::size_t i = 0; i < a.extent(0); ++i) {
    if (std::memcmp(&a(i, head, 0), &b(i, head, 0), a.extent(2) * sizeof(float)) != 0) return true;
  }
  return false;
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
  std::vector<char> rewritten(heads, 0);
  for (const Site site : {Site::attn_scores, Site::pattern}) {
    const ProbePoint point = at(of.index, site, of.role);
    const bool scores = site == Site::attn_scores;
    if (!context_.taps.wants(point)) continue;
    context_.ops.pool().run(heads, [&](std::size_t h, std::size_t) {
      if (rewritten[h]) return;  // the weights of rewritten scores are in the map already
      context_.ops.map_rows({problem, rule, h, row, scores}, {&map(0, h, 0), {rows.size(), keys}, {heads * keys, 1}});
    });
    std::copy_n(map.data(), numbers, kept.data());
    context_.taps.show(point, rows, map);
    if (!context_.taps.writes(point)) continue;
    for (std::size_t h = 0; h < heads; ++h) {
      if (!head_changed(map, kept, h)) continue;
      rewritten[h] = 1;
      if (scores) softmax_rows(map, h, map);
    }
  }
  for (std::size_t h = 0; h < heads; ++h) {
    if (rewritten[h]) context_.ops.weigh_values({problem, h, row}, {&map(0, h, 0), {rows.size(), keys}, {heads * keys, 1}});
  }
}

}  // namespace vitrine
