#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

std::string tensor_name(const Checkpoint& checkpoint, const WeightKey& key) {
  const NameTable names{{
      {Role::token_embedding, "token_embd", "bert.embeddings.word_embeddings"},
      {Role::position_embedding, "position_embd", "bert.embeddings.position_embeddings"},
      {Role::type_embedding, "token_types", "bert.embeddings.token_type_embeddings"},
      {Role::embedding_norm, "token_embd_norm", "bert.embeddings.LayerNorm"},
      {Role::attn_q, "blk.#.attn_q", "bert.encoder.layer.#.attention.self.query"},
      {Role::attn_k, "blk.#.attn_k", "bert.encoder.layer.#.attention.self.key"},
      {Role::attn_v, "blk.#.attn_v", "bert.encoder.layer.#.attention.self.value"},
      {Role::attn_out, "blk.#.attn_output", "bert.encoder.layer.#.attention.output.dense"},
      {Role::attn_norm, "blk.#.attn_output_norm", "bert.encoder.layer.#.attention.output.LayerNorm"},
      {Role::mlp_up, "blk.#.ffn_up", "bert.encoder.layer.#.intermediate.dense"},
      {Role::mlp_down, "blk.#.ffn_down", "bert.encoder.layer.#.output.dense"},
      {Role::mlp_norm, "blk.#.layer_output_norm", "bert.encoder.layer.#.output.LayerNorm"},
  }};
  return names.find(checkpoint, key);
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  TensorRule rule;
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding ||
                     key.role == Role::type_embedding;
  if (key.bias && table) return rule;
  rule.name = tensor_name(checkpoint, key);
  rule.optional = key.role == Role::type_embedding;
  return rule;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "bert";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "bert");
  spec.width = read.count({"bert.embedding_length", "hidden_size"});
  spec.context = read.count({"bert.context_length", "max_position_embeddings"});
  spec.learned_positions = spec.embedding_norm = true;
  spec.final_norm = spec.has_head = false;
  spec.pooling = Pooling::mean;
  const std::string positions = read.text_or({"position_embedding_type"}, "absolute");
  if (positions != "absolute") read.refuse("position_embedding_type", "absolute", quoted(positions));
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"bert.attention.head_count", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.mask = Mask::none;
  block.mlp = {read.count({"bert.feed_forward_length", "intermediate_size"}), false, read.activation("hidden_act", "gelu")};
  block.norm = NormKind::layer;
  block.placement = NormPlacement::post;
  block.norm_epsilon =
      static_cast<float>(read.number_or({"bert.attention.layer_norm_epsilon", "layer_norm_eps"}, 1e-12));
  spec.blocks.assign(read.count({"bert.block_count", "num_hidden_layers"}, 1024), block);
  const NamedTensor* types = checkpoint.find(tensor_name(checkpoint, {Role::type_embedding, -1, false}));
  spec.token_types = types ? types->weight.rows : 0;
  return spec;
}

}  // namespace

const Architecture& architecture_bert() {
  static const Architecture architecture{"bert", "BERT and MiniLM encoders: norm after, learned positions and segments",
                                         "Devlin et al. 2018, arXiv:1810.04805",
                                         [](const Checkpoint& c) { return model_type(c) == "bert"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
