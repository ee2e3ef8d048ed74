#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/block_pass.h"
#include "core/model/block_slots_internal.h"

// Distances that meet what queries hold (Dai et al. 2019, arXiv:1901.02860), and a second stream of rows that predict tokens which
// they do not see (Yang et al. 2019, arXiv:1906.08237): its queries look at the keys and values of the first.

namespace vitrine {

/// Sines and cosines of distances, [distances, width], once a pass. Position - key is what they encode.
void BlockPass::lay_out_distances() {
  const auto& relative = spec_.blocks.front().attention.relative;
  if (!relative) return;
  std::size_t longest = 1;
  for (const Segment& segment : rows_.segments) longest = std::max(longest, segment.ids.size());
  reach_ = longest - 1;
  if (relative->furthest > 0) reach_ = std::min(reach_, relative->furthest);
  const std::size_t half = spec_.width / 2;
  const TensorView<float, 2> sines = context_.workspace.matrix(distance_sines, 2 * reach_ + 1, spec_.width);
  for (std::size_t i = 0; i < half; ++i) {  // angles in f32, as models are trained
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(spec_.width);
    const float frequency = 1.0f / static_cast<float>(std::pow(10000.0, static_cast<double>(exponent)));
    for (std::size_t row = 0; row < sines.extent(0); ++row) {
      const double angle = (static_cast<float>(reach_) - static_cast<float>(row)) * frequency;
      sines(row, i) = static_cast<float>(std::sin(angle));
      sines(row, half + i) = static_cast<float>(std::cos(angle));
    }
  }
  context_.ops.wrote(sines);
}

/// What the content stream may see under a permutation: what comes before, and itself.
void BlockPass::lay_out_permutation() {
  for (const Segment& segment : rows_.segments) {
    const std::size_t count = segment.ids.size(), words = BitView::words_of(count);
    first_word_.push_back(words_.size());
    if (segment.allowed.empty()) continue;
    for (std::size_t row = 0; row < count; ++row) {
      for (std::size_t word = 0; word < words; ++word) {
        words_.push_back(segment.allowed.word(row, word * 64) | (row / 64 == word ? std::uint64_t{1} << row % 64 : 0));
      }
    }
  }
}

BitView BlockPass::seen_by_content(std::size_t segment) const {
  const std::size_t count = rows_.segments[segment].ids.size(), words = BitView::words_of(count);
  if (rows_.segments[segment].allowed.empty()) return {};
  return {.words = words_.data() + first_word_[segment], .rows = count, .columns = count, .row_words = words};
}

/// Every query starts from the same numbers: it knows its position alone.
TensorView<float, 2> BlockPass::embed_queries() {
  const TensorView<float, 2> stream = matrix(stream_a, spec_.width);
  const std::pmr::vector<std::int32_t> zeros(rows_.rows.size(), 0, context_.workspace.lists());
  context_.ops.gather(*weight(Role::query_embedding, -1), zeros, 1.0f, stream);
  return stream;
}

/// Distances projected for a block: made by the content stream, which comes first.
ContentByDistance BlockPass::content_by_distance(int index) {
  const AttentionSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].attention;
  if (!spec.relative) return {};
  const std::size_t reach = content_ ? content_->reach_ : reach_, distances = 2 * reach + 1;
  const TensorView<float, 2> r = context_.workspace.matrix(distance_keys, distances, spec.heads * spec.head_dim);
  if (!content_) {
    const Product products[] = {product(Role::attn_distance, index, r)};
    context_.ops.multiply(context_.workspace.matrix(distance_sines, distances, spec_.width), products);
  }
  const auto numbers = [&](Role role) { return reinterpret_cast<const float*>(weight(role, index)->data); };
  const auto by_head = [&](Role role) { return TensorView<const float, 2>{numbers(role), {spec.heads, spec.head_dim}}; };
  ContentByDistance content;
  content.r = {r.data(), {distances, spec.heads, spec.head_dim}};
  content.first = -static_cast<std::ptrdiff_t>(reach);
  content.key_bias = by_head(Role::key_bias);
  content.distance_bias = by_head(Role::content_bias);
  content.segment = {numbers(Role::segment_embedding), {2, spec.heads, spec.head_dim}};
  content.segment_bias = by_head(Role::segment_bias);
  return content;
}

TensorView<float, 2> BlockPass::query_attention(int index, TensorView<float, 2> input) {
  const AttentionSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].attention;
  const TensorView<float, 2> rows = matrix(qkv, spec.heads * spec.head_dim);
  const Product products[] = {product(Role::attn_q, index, rows)};
  context_.ops.multiply(input, products);
  const TensorView<float, 3> q = as_heads(rows, spec.heads, spec.head_dim);
  show_heads(at(index, Site::q), q);
  show_heads(at(index, Site::rot_q), q);
  attend_targets(index, q);
  return project_out(index);
}

/// Queries of rows that are predicted, each at its own position, over the content's keys and values.
void BlockPass::attend_targets(int index, TensorView<float, 3> q) {
  const AttentionSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].attention;
  const std::size_t width = spec.heads * spec.head_dim;
  const TensorView<float, 2> fused = content_->matrix(qkv, 3 * width);
  const TensorView<float, 3> k = as_heads(columns(fused, width, width), spec.heads, spec.head_dim),
                             v = as_heads(columns(fused, 2 * width, width), spec.heads, spec.head_dim);
  std::pmr::vector<AttentionProblem> problems(context_.workspace.lists());
  std::size_t row = 0;
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    const Segment& segment = rows_.segments[s];
    const std::size_t first = content_->rows_.first_row[s], count = segment.ids.size();
    for (const std::uint32_t position : segment.targets) {
      AttentionProblem problem{.q = q.slice(row, 1), .k = view_of(k.slice(first, count)), .v = view_of(v.slice(first, count)), .out = {}};
      problem.q_start = position;
      problem.score.allowed = segment.allowed.slice(position, 1);
      if (!segment.types.empty()) {
        problem.score.content.query_segment = segment.types.subspan(position, 1);
        problem.score.content.key_segment = segment.types;
      }
      problems.push_back(problem);
      ++row;
    }
  }
  solve(index, AttentionRole::self, problems);
}

}  // namespace vitrine
