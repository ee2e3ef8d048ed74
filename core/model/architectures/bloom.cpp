#include <cmath>

#include "core/model/fused_attention.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "bloom";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "bloom");
  spec.width = read.count({"%.embedding_length", "n_embed", "hidden_size"});
  spec.embedding_norm = true;
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"%.attention.head_count", "n_head", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.distance_slopes = alibi_slopes(attention.heads);
  block.mlp = {read.count_or({"%.feed_forward_length"}, 4 * spec.width), false, Activation::gelu_tanh};
  block.norm = NormKind::layer;
  block.norm_epsilon = static_cast<float>(read.number_or({"%.attention.layer_norm_epsilon", "layer_norm_epsilon"}, 1e-5));
  if (read.flag_or({"apply_residual_connection_post_layernorm"}, false)) read.refuse("apply_residual_connection_post_layernorm", "false", "true");
  spec.blocks.assign(read.count({"%.block_count", "n_layer", "num_hidden_layers"}, 1024), block);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool table = key.role == Role::token_embedding || key.role == Role::head;
  if (key.bias && table) return {};
  const NameTable names{{
      {Role::token_embedding, "token_embd", "transformer.word_embeddings"},
      {Role::embedding_norm, "token_embd_norm", "transformer.word_embeddings_layernorm"},
      {Role::final_norm, "output_norm", "transformer.ln_f"},
      {Role::head, "output", "lm_head"},
      {Role::attn_norm, "blk.#.attn_norm", "transformer.h.#.input_layernorm"},
      {Role::attn_q, "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value"},
      {Role::attn_k, "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value"},
      {Role::attn_v, "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value"},
      {Role::attn_out, "blk.#.attn_output", "transformer.h.#.self_attention.dense"},
      {Role::mlp_norm, "blk.#.ffn_norm", "transformer.h.#.post_attention_layernorm"},
      {Role::mlp_up, "blk.#.ffn_up", "transformer.h.#.mlp.dense_h_to_4h"},
      {Role::mlp_down, "blk.#.ffn_down", "transformer.h.#.mlp.dense_4h_to_h"},
  }};
  TensorRule rule{.name = names.find(checkpoint, key), .optional = key.role == Role::head, .needed_bias = true};
  take_from_fused(checkpoint.format == "gguf" ? FusedOrder::apart : FusedOrder::by_group, spec.blocks.front().attention, key.role, rule);
  return rule;
}

}  // namespace

const Architecture& architecture_bloom() {
  static const Architecture architecture{"bloom", "BLOOM: scores fall with the distance (ALiBi), normed embeddings, gelu",
                                         "Le Scao et al. 2022, arXiv:2211.05100",
                                         [](const Checkpoint& c) { return model_type(c) == "bloom"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
