#include <cmath>

#include "core/model/architecture.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "opt";
  spec.name = read.text_or({"_name_or_path"}, "opt");
  spec.width = read.count({"hidden_size"});
  spec.context = read.count({"max_position_embeddings"});
  spec.learned_positions = true;
  spec.position_offset = 2;  // room for fairseq's padding
  const std::size_t token_width = read.count_or({"word_embed_proj_dim"}, spec.width);
  if (token_width != spec.width) {
    spec.embedding_width = token_width;
    spec.projection_first = true;
    spec.head_transform = HeadTransformSpec{.width = token_width, .activation = {}, .norm_epsilon = {}};
  }
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  block.mlp = {read.count({"ffn_dim"}), false, read.activation("activation_function", "relu")};
  block.norm = NormKind::layer;
  block.norm_epsilon = 1e-5f;
  const bool before = read.flag_or({"do_layer_norm_before"}, true);
  block.placement = before ? NormPlacement::pre : NormPlacement::post;
  spec.final_norm = before && !read.flag_or({"_remove_final_layer_norm"}, false);
  spec.blocks.assign(read.count({"num_hidden_layers"}, 1024), block);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  const MetadataReader read(checkpoint);
  const bool norm = key.role == Role::attn_norm || key.role == Role::mlp_norm || key.role == Role::final_norm;
  const bool product = key.role == Role::attn_q || key.role == Role::attn_k || key.role == Role::attn_v || key.role == Role::attn_out ||
                       key.role == Role::mlp_up || key.role == Role::mlp_down;
  if (norm && !read.flag_or({"layer_norm_elementwise_affine"}, true)) return {};
  if (key.bias && !norm && !(product && read.flag_or({"enable_bias"}, true))) return {};
  const NameTable names{{
      {Role::token_embedding, "", "model.decoder.embed_tokens"},
      {Role::position_embedding, "", "model.decoder.embed_positions"},
      {Role::embedding_projection, "", "model.decoder.project_in"},
      {Role::head_transform, "", "model.decoder.project_out"},
      {Role::final_norm, "", "model.decoder.final_layer_norm"},
      {Role::head, "", "lm_head"},
      {Role::attn_norm, "", "model.decoder.layers.#.self_attn_layer_norm"},
      {Role::attn_q, "", "model.decoder.layers.#.self_attn.q_proj"},
      {Role::attn_k, "", "model.decoder.layers.#.self_attn.k_proj"},
      {Role::attn_v, "", "model.decoder.layers.#.self_attn.v_proj"},
      {Role::attn_out, "", "model.decoder.layers.#.self_attn.out_proj"},
      {Role::mlp_norm, "", "model.decoder.layers.#.final_layer_norm"},
      {Role::mlp_up, "", "model.decoder.layers.#.fc1"},
      {Role::mlp_down, "", "model.decoder.layers.#.fc2"},
  }};
  return {.name = names.find(checkpoint, key), .optional = key.role == Role::head, .needed_bias = true};
}

}  // namespace

const Architecture& architecture_opt() {
  static const Architecture architecture{"opt", "OPT: layer norm before (350M: after), learned positions from the third row on, relu",
                                         "Zhang et al. 2022, arXiv:2205.01068",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "opt"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
