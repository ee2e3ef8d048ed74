#include "core/model/gpt_parts.h"

#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/model/fused_attention.h"

namespace vitrine {
namespace {

std::string tensor_name(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool first = spec.blocks.front().placement == NormPlacement::post;  // GPT-1 has other names for its tables
  // Files of the bare model lack the "transformer." that files with a head have.
  const NameTable names{{
      {Role::token_embedding, "token_embd", first ? "transformer.tokens_embed" : "transformer.wte"},
      {Role::position_embedding, "position_embd", first ? "transformer.positions_embed" : "transformer.wpe"},
      {Role::final_norm, "output_norm", "transformer.ln_f"},
      {Role::head, "output", "lm_head"},
      {Role::attn_norm, "blk.#.attn_norm", "transformer.h.#.ln_1"},
      {Role::attn_q, "blk.#.attn_qkv", "transformer.h.#.attn.c_attn"},
      {Role::attn_k, "blk.#.attn_qkv", "transformer.h.#.attn.c_attn"},
      {Role::attn_v, "blk.#.attn_qkv", "transformer.h.#.attn.c_attn"},
      {Role::attn_out, "blk.#.attn_output", "transformer.h.#.attn.c_proj"},
      {Role::mlp_norm, "blk.#.ffn_norm", "transformer.h.#.ln_2"},
      {Role::mlp_up, "blk.#.ffn_up", "transformer.h.#.mlp.c_fc"},
      {Role::mlp_down, "blk.#.ffn_down", "transformer.h.#.mlp.c_proj"},
  }};
  return names.find(checkpoint, key);
}

}  // namespace

ModelSpec describe_gpt(const MetadataReader& read, std::string_view architecture) {
  ModelSpec spec;
  spec.architecture = architecture;
  spec.name = read.text_or({"general.name", "_name_or_path"}, architecture);
  spec.width = read.count({"%.embedding_length", "n_embd", "hidden_size"});
  spec.context = read.count({"%.context_length", "n_positions", "max_position_embeddings", "n_ctx"});
  spec.learned_positions = true;
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"%.attention.head_count", "n_head", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  const bool scaled = read.flag_or({"scale_attn_weights"}, true);
  block.mlp = {.width = read.count_or({"%.feed_forward_length", "n_inner"}, 4 * spec.width)};
  block.norm = NormKind::layer;
  block.norm_epsilon = static_cast<float>(read.number_or({"%.attention.layer_norm_epsilon", "layer_norm_epsilon"}, 1e-5));
  spec.blocks.assign(read.count({"%.block_count", "n_layer", "num_hidden_layers"}, 1024), block);
  const bool by_layer = read.flag_or({"scale_attn_by_inverse_layer_idx"}, false);
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const double divisor = by_layer ? static_cast<double>(i + 1) : 1.0;
    spec.blocks[i].attention.scale = static_cast<float>((scaled ? 1.0 / std::sqrt(static_cast<double>(attention.head_dim)) : 1.0) / divisor);
  }
  if (read.flag_or({"add_cross_attention"}, false)) read.refuse("add_cross_attention", "false", "true");
  return spec;
}

TensorRule gpt_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::head;
  if (key.bias && table) return {};
  TensorRule rule{.name = tensor_name(checkpoint, spec, key)};
  rule.optional = key.role == Role::head;
  rule.needed_bias = true;
  const bool norm = key.role == Role::attn_norm || key.role == Role::mlp_norm || key.role == Role::final_norm;
  rule.transposed = checkpoint.format != "gguf" && !table && !norm && !key.bias;  // Conv1D keeps [in, out]
  take_from_fused(FusedOrder::apart, spec.blocks.front().attention, key.role, rule);
  return rule;
}

}  // namespace vitrine
