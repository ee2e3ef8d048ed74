#include "core/base/error.h"
#include "core/model/block_pass.h"
#include "core/model/block_slots_internal.h"

// Attention over the rows of an encoder: its keys and values are made once for a source, then every pass reads them.

namespace vitrine {

void BlockPass::remember(TensorView<float, 2> hidden) {
  for (const Segment& segment : rows_.segments) segment.memory->reserve(segment.ids.size());
  for (int index = 0; index < static_cast<int>(spec_.blocks.size()); ++index) {
    const BlockSpec& block = spec_.blocks[static_cast<std::size_t>(index)];
    if (!block.cross) continue;
    const AttentionSpec& spec = *block.cross;
    const std::size_t width = spec.kv_heads * spec.head_dim;
    const TensorView<float, 2> fused = matrix(cross_kv, 2 * width);  // [row, k | v]
    const TensorView<float, 2> k_rows = columns(fused, 0, width), v_rows = columns(fused, width, width);
    const Product products[] = {product(Role::cross_k, index, k_rows), product(Role::cross_v, index, v_rows)};
    context_.ops.multiply(hidden, products);
    const TensorView<float, 3> k = as_heads(k_rows, spec.kv_heads, spec.head_dim), v = as_heads(v_rows, spec.kv_heads, spec.head_dim);
    show_heads(at(index, Site::k, AttentionRole::cross), k);
    show_heads(at(index, Site::v, AttentionRole::cross), v);
    show_heads(at(index, Site::rot_k, AttentionRole::cross), k);  // nothing rotates between two texts
    for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
      const Segment& segment = rows_.segments[s];
      const std::size_t first = rows_.first_row[s], count = segment.ids.size();
      store(index, *segment.memory, 0, {.q = {}, .k = k.slice(first, count), .v = v.slice(first, count)});
    }
  }
  for (const Segment& segment : rows_.segments) segment.memory->advance(segment.ids.size());
}

/// The residual stream behind cross attention, from the one before it (post: after the norm that follows).
TensorView<float, 2> BlockPass::cross_block(int index, TensorView<float, 2> base, bool post) {
  const AttentionSpec& spec = *spec_.blocks[static_cast<std::size_t>(index)].cross;
  const NormSites sites{Role::cross_norm, Site::ln1_scale, Site::ln1_normalized, AttentionRole::cross};
  const TensorView<float, 2> input = post ? base : normalize(index, sites, base, normed);
  const TensorView<float, 2> q_rows = matrix(cross_q, spec.heads * spec.head_dim);
  const Product queries[] = {product(Role::cross_q, index, q_rows)};
  context_.ops.multiply(input, queries);
  const TensorView<float, 3> q = as_heads(q_rows, spec.heads, spec.head_dim);
  show_heads(at(index, Site::q, AttentionRole::cross), q);
  show_heads(at(index, Site::rot_q, AttentionRole::cross), q);
  cross_attend(index, q);
  const TensorView<float, 2> out = matrix(module_out, spec_.width);
  const Product projection[] = {product(Role::cross_out, index, out)};
  context_.ops.multiply(matrix(attention_z, spec.heads * spec.head_dim), projection);
  show(at(index, Site::attn_module_out, AttentionRole::cross), out);
  show(at(index, Site::attn_out, AttentionRole::cross), out);
  const TensorView<float, 2> sum = matrix(cross_mid, spec_.width);
  context_.ops.add(base, out, sum);
  show(at(index, Site::resid_mid, AttentionRole::cross), sum);
  return post ? normalize(index, sites, sum, cross_normed) : sum;
}

void BlockPass::cross_attend(int index, TensorView<float, 3> q) {
  const auto block = static_cast<std::size_t>(index);
  std::pmr::vector<AttentionProblem> problems(context_.workspace.lists());
  std::size_t row = 0;
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    const Segment& segment = rows_.segments[s];
    const std::size_t count = segment.ids.size() - (is_last(index) ? rows_.dropped(s) : 0);
    if (count == 0) continue;
    const std::size_t keys = segment.memory->length();
    const TensorView<float, 3> queries = q.slice(row, count);
    if (segment.memory->format().hadamard) context_.ops.hadamard(queries, queries);
    problems.push_back({.q = queries, .k = segment.memory->keys(block, keys), .v = segment.memory->values(block, keys), .out = {}});
    row += count;
  }
  solve(index, AttentionRole::cross, problems);
}

}  // namespace vitrine
