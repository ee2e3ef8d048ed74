#include <cmath>
#include <string>

#include "core/model/fused_attention.h"
#include "core/model/metadata.h"
#include "core/model/rope_metadata.h"

namespace vitrine {
namespace {

/// Which of the three shapes that went by this name. A GGUF says it by the norms that it has.
NormPlacement placement_of(const MetadataReader& read) {
  if (read.is_gguf()) return read.checkpoint().find("blk.0.attn_norm_2.weight") ? NormPlacement::parallel : NormPlacement::parallel_shared;
  const bool grouped = read.flag_or({"new_decoder_architecture"}, false), parallel = read.flag_or({"parallel_attn"}, true);
  const std::size_t norms = read.count_or({"num_ln_in_parallel_attn"}, grouped ? 2 : 1);
  if (norms > 2) read.refuse("num_ln_in_parallel_attn", "1 or 2", std::to_string(norms));
  if (grouped && !parallel) read.refuse("parallel_attn", "true with new_decoder_architecture", "false");
  if (!grouped && parallel && norms == 2) read.refuse("num_ln_in_parallel_attn", "1 without new_decoder_architecture", "2");
  if (!parallel) return NormPlacement::pre;
  return norms == 2 ? NormPlacement::parallel : NormPlacement::parallel_shared;
}

std::size_t kv_heads_of(const MetadataReader& read, std::size_t heads) {
  if (read.is_gguf()) return read.count_or({"%.attention.head_count_kv"}, heads);
  if (read.flag_or({"new_decoder_architecture"}, false)) return read.count_or({"num_kv_heads", "n_head_kv"}, heads);
  return read.flag_or({"multi_query"}, true) ? 1 : heads;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "falcon";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "falcon");
  spec.width = read.count({"%.embedding_length", "n_embed", "hidden_size"});
  spec.context = read.count_or({"%.context_length", "max_position_embeddings"}, 2048);
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = read.count({"%.attention.head_count", "num_attention_heads", "n_head"}, 4096);
  attention.kv_heads = kv_heads_of(read, attention.heads);
  if (attention.heads % attention.kv_heads != 0) {
    read.refuse("num_kv_heads", "a divisor of the heads, " + std::to_string(attention.heads), std::to_string(attention.kv_heads));
  }
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  if (read.flag_or({"alibi"}, false)) {
    // transformers rounds slope times position to bfloat16, so that its own numbers drift from these beyond 256 tokens, and with
    // head counts that are no power of two before.
    attention.distance_slopes = alibi_slopes(attention.heads);
    for (float& slope : attention.distance_slopes) slope *= attention.scale;  // the bias is scaled with the product
  } else {
    describe_rope(read, RopeDefaults{}, attention);
    attention.rope = RopeKind::half;
  }
  block.mlp = {read.count_or({"%.feed_forward_length", "ffn_hidden_size"}, 4 * spec.width), false, read.activation("activation", "gelu")};
  block.norm = NormKind::layer;
  block.placement = placement_of(read);
  block.norm_epsilon = static_cast<float>(read.number_or({"%.attention.layer_norm_epsilon", "layer_norm_epsilon"}, 1e-5));
  spec.blocks.assign(read.count({"%.block_count", "num_hidden_layers", "n_layer"}, 1024), block);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool gguf = checkpoint.format == "gguf", two = spec.blocks.front().placement == NormPlacement::parallel;
  const bool norm = key.role == Role::attn_norm || key.role == Role::mlp_norm || key.role == Role::final_norm;
  const bool table = key.role == Role::token_embedding || key.role == Role::head;
  const bool biased = norm || MetadataReader(checkpoint).flag_or({"bias"}, false);
  if (key.bias && (table || (!gguf && !biased))) return {};
  const NameTable names{{
      {Role::token_embedding, "token_embd", "transformer.word_embeddings"},
      {Role::final_norm, "output_norm", "transformer.ln_f"},
      {Role::head, "output", "lm_head"},
      {Role::attn_norm, two ? "blk.#.attn_norm_2" : "blk.#.attn_norm", two ? "transformer.h.#.ln_attn" : "transformer.h.#.input_layernorm"},
      {Role::attn_q, "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value"},
      {Role::attn_k, "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value"},
      {Role::attn_v, "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value"},
      {Role::attn_out, "blk.#.attn_output", "transformer.h.#.self_attention.dense"},
      {Role::mlp_norm, "blk.#.attn_norm", two ? "transformer.h.#.ln_mlp" : "transformer.h.#.post_attention_layernorm"},
      {Role::mlp_up, "blk.#.ffn_up", "transformer.h.#.mlp.dense_h_to_4h"},
      {Role::mlp_down, "blk.#.ffn_down", "transformer.h.#.mlp.dense_4h_to_h"},
  }};
  TensorRule rule{.name = names.find(checkpoint, key), .optional = key.role == Role::head, .needed_bias = biased};
  take_from_fused(gguf ? FusedOrder::apart : FusedOrder::by_group, spec.blocks.front().attention, key.role, rule);
  return rule;
}

}  // namespace

const Architecture& architecture_falcon() {
  static const Architecture architecture{"falcon", "Falcon: attention and MLP side by side, one or few key-value heads, rope or ALiBi",
                                         "Almazrouei et al. 2023, arXiv:2311.16867",
                                         [](const Checkpoint& c) {
                                           const std::string type = model_type(c);
                                           return type == "falcon" || type == "RefinedWeb" || type == "RefinedWebModel";
                                         },
                                         describe, tensor};
  return architecture;
}

}  // namespace vitrine
