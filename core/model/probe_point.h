#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/spec.h"

namespace vitrine {

/// A place in the forward pass, in TransformerLens' names. Shapes as [rows, heads, width]; heads is 1 where a point has none.
enum class Site : std::uint8_t {
  embed,            ///< hook_embed: token embeddings
  pos_embed,        ///< hook_pos_embed: learned positions
  resid_pre,        ///< blocks.i.hook_resid_pre
  ln1_scale,        ///< blocks.i.ln1.hook_scale [pos, 1]
  ln1_normalized,   ///< blocks.i.ln1.hook_normalized (rms: before the weight; layer: after weight and bias)
  q, k, v,          ///< blocks.i.attn.hook_q/k/v, before rope; k and v keep their own head count
  q_norm_scale, q_norm_normalized,  ///< blocks.i.attn.q_norm.hook_scale [pos, heads, 1], hook_normalized (before the weight)
  k_norm_scale, k_norm_normalized,
  rot_q, rot_k,     ///< blocks.i.attn.hook_rot_q/rot_k: the factors as multiplied
  attn_scores,      ///< blocks.i.attn.hook_attn_scores [pos, heads, pos], on demand, -inf where masked
  pattern,          ///< blocks.i.attn.hook_pattern [pos, heads, pos], on demand
  normalizer,       ///< blocks.i.attn.hook_normalizer [pos, heads, 1]: log-sum-exp of the scores
  threshold,        ///< blocks.i.attn.hook_threshold [pos, heads, 1]: scores below it do not count; -inf where a kernel has none
  row_stats,        ///< blocks.i.attn.hook_row_stats [pos, heads, 3]: entropy, distance, first-key weight (RowStats)
  z,                ///< blocks.i.attn.hook_z
  attn_module_out,  ///< blocks.i.attn.hook_out: raw module output
  ln1_post_scale, ln1_post_normalized,  ///< blocks.i.ln1_post.hook_scale/hook_normalized: the norm of what attention puts out
  attn_out,         ///< blocks.i.hook_attn_out: contribution to the residual stream
  resid_mid,        ///< blocks.i.hook_resid_mid
  ln2_scale, ln2_normalized,
  router_logits,    ///< blocks.i.mlp.hook_router_logits [pos, experts]
  expert_weights,   ///< blocks.i.mlp.hook_expert_weights [pos, experts]: the softmax of them, over all experts
  expert_indices,   ///< blocks.i.mlp.hook_expert_indices [pos, experts_per_row], the largest first
  mlp_pre,          ///< blocks.i.mlp.hook_pre
  mlp_pre_linear,   ///< blocks.i.mlp.hook_pre_linear: the factor beside a gate
  mlp_post,         ///< blocks.i.mlp.hook_post
  mlp_module_out,   ///< blocks.i.mlp.hook_out
  ln2_post_scale, ln2_post_normalized,  ///< blocks.i.ln2_post: of what the MLP puts out
  mlp_out,          ///< blocks.i.hook_mlp_out
  resid_post,       ///< blocks.i.hook_resid_post
  final_scale,      ///< ln_final.hook_scale
  final_normalized, ///< ln_final.hook_normalized
  logits,           ///< logits [pos, vocabulary]
};

struct ProbePoint {
  Stack stack = Stack::only;
  Stream stream = Stream::content;
  AttentionRole role = AttentionRole::self;
  int block = -1;  ///< -1 outside the blocks
  Site site = Site::embed;
  auto operator<=>(const ProbePoint&) const = default;
};

/// "blocks.3.attn.hook_q", "encoder.blocks.3.attn.hook_q", "decoder.blocks.3.cross_attn.hook_q", "query.blocks.3.attn.hook_q" (of
/// XLNet's query stream). A decoder's blocks with cross attention have three norms: ln1, ln2 (cross) and ln3 (mlp).
std::string point_name(const ProbePoint& point);
/// Empty where the name is none of this program's.
std::optional<ProbePoint> parse_point(std::string_view name);

/// Whether a value at this point has one column per key: [pos, pos], never stored unless asked for.
bool is_square(Site site);

/// Heads and width of a point's values in a model; {0, 0} where the model has no such point. Square points give the
/// width 0 (it is the number of keys).
struct PointShape {
  std::size_t heads = 0;
  std::size_t width = 0;
};
PointShape point_shape(const ModelSpec& spec, const ProbePoint& point);

/// The description of the stack that a point lies in; null where the model has no such stack.
const ModelSpec* stack_of(const ModelSpec& spec, const ProbePoint& point);

/// Every point of a model in the order in which the forward pass reaches them.
std::vector<ProbePoint> all_points(const ModelSpec& spec);

/// Full names with '*', or the short names of the command line (resid_pre, q, z, ..., default, all).
/// None of a query stream, which has rows only where somebody asks for predictions.
/// @throws Error (usage) on a word that names nothing in this model, listing what there is
std::vector<ProbePoint> select_points(const ModelSpec& spec, std::span<const std::string> words);

}  // namespace vitrine
