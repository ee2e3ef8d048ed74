#include <cmath>

#include "core/model/fused_attention.h"
#include "core/model/metadata.h"
#include "core/model/rope_metadata.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "gpt_neox";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "gpt_neox");
  spec.width = read.count({"%.embedding_length", "hidden_size"});
  spec.context = read.count({"%.context_length", "max_position_embeddings"});
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"%.attention.head_count", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  describe_rope(read, RopeDefaults{.partial = 0.25}, attention);
  attention.rope = RopeKind::half;
  block.mlp = {read.count({"%.feed_forward_length", "intermediate_size"}), false, read.activation("hidden_act", "gelu")};
  block.norm = NormKind::layer;
  block.norm_epsilon = static_cast<float>(read.number_or({"%.attention.layer_norm_epsilon", "layer_norm_eps"}, 1e-5));
  if (read.flag_or({"%.use_parallel_residual", "use_parallel_residual"}, true)) block.placement = NormPlacement::parallel;
  spec.blocks.assign(read.count({"%.block_count", "num_hidden_layers"}, 1024), block);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool table = key.role == Role::token_embedding || key.role == Role::head, gguf = checkpoint.format == "gguf";
  const bool attention = key.role == Role::attn_q || key.role == Role::attn_k || key.role == Role::attn_v || key.role == Role::attn_out;
  const bool attention_bias = MetadataReader(checkpoint).flag_or({"attention_bias"}, true);
  if (key.bias && (table || (attention && !gguf && !attention_bias))) return {};
  const NameTable names{{
      {Role::token_embedding, "token_embd", "gpt_neox.embed_in"},
      {Role::final_norm, "output_norm", "gpt_neox.final_layer_norm"},
      {Role::head, "output", "embed_out"},
      {Role::attn_norm, "blk.#.attn_norm", "gpt_neox.layers.#.input_layernorm"},
      {Role::attn_q, "blk.#.attn_qkv", "gpt_neox.layers.#.attention.query_key_value"},
      {Role::attn_k, "blk.#.attn_qkv", "gpt_neox.layers.#.attention.query_key_value"},
      {Role::attn_v, "blk.#.attn_qkv", "gpt_neox.layers.#.attention.query_key_value"},
      {Role::attn_out, "blk.#.attn_output", "gpt_neox.layers.#.attention.dense"},
      {Role::mlp_norm, "blk.#.ffn_norm", "gpt_neox.layers.#.post_attention_layernorm"},
      {Role::mlp_up, "blk.#.ffn_up", "gpt_neox.layers.#.mlp.dense_h_to_4h"},
      {Role::mlp_down, "blk.#.ffn_down", "gpt_neox.layers.#.mlp.dense_4h_to_h"},
  }};
  TensorRule rule{.name = names.find(checkpoint, key), .optional = key.role == Role::head, .needed_bias = !attention || !gguf};
  take_from_fused(gguf ? FusedOrder::apart : FusedOrder::by_group, spec.blocks.front().attention, key.role, rule);
  return rule;
}

}  // namespace

const Architecture& architecture_gpt_neox() {
  static const Architecture architecture{"gpt_neox", "GPT-NeoX and Pythia: attention and MLP side by side, part of a head rotates",
                                         "Black et al. 2022, arXiv:2204.06745",
                                         [](const Checkpoint& c) { return model_type(c) == "gpt_neox" || model_type(c) == "gptneox"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
