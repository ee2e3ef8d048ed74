#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

/// rope_theta stands at the top (transformers 4) or inside rope_parameters (transformers 5).
void describe_rope(const Checkpoint& checkpoint, const MetadataReader& read, AttentionSpec& attention) {
  attention.rope = RopeKind::half;
  attention.rope_dim = read.count_or({"llama.rope.dimension_count"}, attention.head_dim);
  attention.rope_theta = static_cast<float>(read.number_or({"llama.rope.freq_base", "rope_theta"}, 10000.0));
  const std::string scaling = read.text_or({"llama.rope.scaling.type"}, "none");
  if (scaling != "none") read.refuse("llama.rope.scaling.type", "none (scaled rope comes later)", quoted(scaling));
  if (checkpoint.find("rope_freqs.weight")) read.refuse("rope_freqs.weight", "no rope factors", "a tensor");
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
    const Json& rope = checkpoint.metadata[key];
    if (rope["rope_theta"].is_number()) attention.rope_theta = static_cast<float>(rope["rope_theta"].number());
    const Json& type = rope.has("rope_type") ? rope["rope_type"] : rope["type"];
    if (type.is_string() && type.string() != "default") {
      read.refuse(key, "rope_type default (scaled rope comes later)", quoted(type.string()));
    }
  }
  if (attention.rope_dim % 2 != 0 || attention.rope_dim > attention.head_dim) {
    read.refuse("rope dimensions", "an even number up to the head size", std::to_string(attention.rope_dim));
  }
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "llama";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "llama");
  spec.width = read.count({"llama.embedding_length", "hidden_size"});
  spec.context = read.count({"llama.context_length", "max_position_embeddings"});
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = read.count({"llama.attention.head_count", "num_attention_heads"}, 4096);
  attention.kv_heads = read.count_or({"llama.attention.head_count_kv", "num_key_value_heads"}, attention.heads);
  attention.head_dim = read.count_or({"llama.attention.key_length", "head_dim"}, spec.width / attention.heads);
  if (attention.head_dim == 0 || attention.heads % attention.kv_heads != 0) {
    read.refuse("attention heads", "a multiple of the key-value heads (" + std::to_string(attention.kv_heads) + ")",
                std::to_string(attention.heads));
  }
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  describe_rope(checkpoint, read, attention);
  const std::string activation = read.text_or({"hidden_act"}, "silu");
  if (activation != "silu") read.refuse("hidden_act", "silu", quoted(activation));
  block.mlp = {read.count({"llama.feed_forward_length", "intermediate_size"}), true, Activation::silu};
  block.norm_epsilon =
      static_cast<float>(read.number_or({"llama.attention.layer_norm_rms_epsilon", "rms_norm_eps"}, 1e-6));
  spec.blocks.assign(read.count({"llama.block_count", "num_hidden_layers"}, 1024), block);
  return spec;
}

std::string tensor_name(const Checkpoint& checkpoint, const WeightKey& key) {
  const NameTable names{{
      {Role::token_embedding, "token_embd", "model.embed_tokens"},
      {Role::final_norm, "output_norm", "model.norm"},
      {Role::head, "output", "lm_head"},
      {Role::attn_norm, "blk.#.attn_norm", "model.layers.#.input_layernorm"},
      {Role::attn_q, "blk.#.attn_q", "model.layers.#.self_attn.q_proj"},
      {Role::attn_k, "blk.#.attn_k", "model.layers.#.self_attn.k_proj"},
      {Role::attn_v, "blk.#.attn_v", "model.layers.#.self_attn.v_proj"},
      {Role::attn_out, "blk.#.attn_output", "model.layers.#.self_attn.o_proj"},
      {Role::mlp_norm, "blk.#.ffn_norm", "model.layers.#.post_attention_layernorm"},
      {Role::mlp_gate, "blk.#.ffn_gate", "model.layers.#.mlp.gate_proj"},
      {Role::mlp_up, "blk.#.ffn_up", "model.layers.#.mlp.up_proj"},
      {Role::mlp_down, "blk.#.ffn_down", "model.layers.#.mlp.down_proj"},
  }};
  return names.find(checkpoint, key);
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  TensorRule rule{.name = tensor_name(checkpoint, key)};
  rule.optional = key.bias || key.role == Role::head;  // without a head tensor the embedding serves
  if (checkpoint.format == "gguf" && (key.role == Role::attn_q || key.role == Role::attn_k)) {
    const AttentionSpec& attention = spec.blocks[static_cast<std::size_t>(key.block)].attention;
    rule.permuted_heads = key.role == Role::attn_q ? attention.heads : attention.kv_heads;
  }
  return rule;
}

}  // namespace

const Architecture& architecture_llama() {
  static const Architecture architecture{"llama", "Llama 1-3 and SmolLM: rms norm, rope, gated silu, grouped queries",
                                         "Touvron et al. 2023, arXiv:2302.13971",
                                         [](const Checkpoint& c) { return model_type(c) == "llama"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
