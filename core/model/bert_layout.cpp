#include "core/model/bert_layout.h"

#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/encoder_heads.h"

namespace vitrine {

NameTable bert_layout_names(std::string_view prefix, std::initializer_list<NameTable::Row> heads) {
  NameTable names{{
      {Role::token_embedding, "token_embd", "@.embeddings.word_embeddings"},
      {Role::position_embedding, "position_embd", "@.embeddings.position_embeddings"},
      {Role::type_embedding, "token_types", "@.embeddings.token_type_embeddings"},
      {Role::embedding_norm, "token_embd_norm", "@.embeddings.LayerNorm"},
      {Role::attn_q, "blk.#.attn_q", "@.encoder.layer.#.attention.self.query"},
      {Role::attn_k, "blk.#.attn_k", "@.encoder.layer.#.attention.self.key"},
      {Role::attn_v, "blk.#.attn_v", "@.encoder.layer.#.attention.self.value"},
      {Role::attn_out, "blk.#.attn_output", "@.encoder.layer.#.attention.output.dense"},
      {Role::attn_norm, "blk.#.attn_output_norm", "@.encoder.layer.#.attention.output.LayerNorm"},
      {Role::mlp_up, "blk.#.ffn_up", "@.encoder.layer.#.intermediate.dense"},
      {Role::mlp_down, "blk.#.ffn_down", "@.encoder.layer.#.output.dense"},
      {Role::mlp_norm, "blk.#.layer_output_norm", "@.encoder.layer.#.output.LayerNorm"},
  }};
  names.prefix = prefix;
  names.rows.insert(names.rows.end(), heads);
  return names;
}

ModelSpec describe_bert_layout(const Checkpoint& checkpoint, std::string_view architecture, const NameTable& names) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = architecture;
  spec.name = read.text_or({"general.name", "_name_or_path"}, architecture);
  spec.width = read.count({"bert.embedding_length", "hidden_size"});
  spec.context = read.count({"bert.context_length", "max_position_embeddings"});
  spec.learned_positions = spec.embedding_norm = true;
  spec.final_norm = spec.has_head = false;
  spec.pooling = Pooling::mean;
  const std::string positions = read.text_or({"position_embedding_type"}, "absolute");
  if (positions != "absolute") read.refuse("position_embedding_type", "absolute", quoted(positions));
  for (const std::string_view key : {"pruned_heads", "add_cross_attention"}) refuse_unless_absent(checkpoint, key);
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"bert.attention.head_count", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.mask = read.flag_or({"bert.attention.causal", "is_decoder"}, false) ? Mask::causal : Mask::none;
  block.mlp = {read.count({"bert.feed_forward_length", "intermediate_size"}), false, read.activation("hidden_act", "gelu")};
  block.norm = NormKind::layer;
  block.placement = NormPlacement::post;
  block.norm_epsilon =
      static_cast<float>(read.number_or({"bert.attention.layer_norm_epsilon", "layer_norm_eps"}, 1e-12));
  spec.blocks.assign(read.count({"bert.block_count", "num_hidden_layers"}, 1024), block);
  const NamedTensor* types = checkpoint.find(names.find(checkpoint, {Role::type_embedding, -1, false}));
  spec.token_types = types ? types->weight.rows : 0;
  return spec;
}

TensorRule bert_layout_tensor(const Checkpoint& checkpoint, const NameTable& names, const WeightKey& key) {
  TensorRule rule;
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::type_embedding;
  if (key.bias && table) return rule;
  rule.name = names.find(checkpoint, key);
  rule.optional = key.role == Role::type_embedding || key.role == Role::head;
  return rule;
}

}  // namespace vitrine
