#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/encoder_heads.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

const NameTable& names() {
  static const NameTable table{{
      {Role::token_embedding, "", "albert.embeddings.word_embeddings"},
      {Role::position_embedding, "", "albert.embeddings.position_embeddings"},
      {Role::type_embedding, "", "albert.embeddings.token_type_embeddings"},
      {Role::embedding_norm, "", "albert.embeddings.LayerNorm"},
      {Role::embedding_projection, "", "albert.encoder.embedding_hidden_mapping_in"},
      {Role::attn_q, "", "albert.encoder.albert_layer_groups.#.attention.query"},
      {Role::attn_k, "", "albert.encoder.albert_layer_groups.#.attention.key"},
      {Role::attn_v, "", "albert.encoder.albert_layer_groups.#.attention.value"},
      {Role::attn_out, "", "albert.encoder.albert_layer_groups.#.attention.dense"},
      {Role::attn_norm, "", "albert.encoder.albert_layer_groups.#.attention.LayerNorm"},
      {Role::mlp_up, "", "albert.encoder.albert_layer_groups.#.ffn"},
      {Role::mlp_down, "", "albert.encoder.albert_layer_groups.#.ffn_output"},
      {Role::mlp_norm, "", "albert.encoder.albert_layer_groups.#.full_layer_layer_norm"},
      {Role::head_transform, "", "predictions.dense"},
      {Role::head_norm, "", "predictions.LayerNorm"},
      {Role::head, "", "predictions.decoder"},
      {Role::head, "", "predictions"},  // the bias alone
      {Role::readout_dense, "", "albert.pooler"},
      {Role::readout_labels, "", "classifier"},
      {Role::readout_labels, "", "sop_classifier.classifier"},
  }};
  return table;
}

/// Passes over groups, and layers inside of one.
struct Sharing {
  std::size_t passes, groups, inner;
};

Sharing sharing_of(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  return {read.count({"num_hidden_layers"}, 1024), read.count_or({"num_hidden_groups"}, 1), read.count_or({"inner_group_num"}, 1)};
}

/// "<group>.albert_layers.<layer>" of a block. Passes are dealt out to groups in order.
std::string shared_layer(const Sharing& sharing, std::size_t block) {
  const std::size_t pass = block / sharing.inner;
  const auto group = static_cast<std::size_t>(static_cast<double>(pass) / (static_cast<double>(sharing.passes) / static_cast<double>(sharing.groups)));
  return std::to_string(group) + ".albert_layers." + std::to_string(block % sharing.inner);
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  TensorRule rule;
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::type_embedding;
  if (key.bias && table) return rule;
  NameTable table_of_block = names();
  std::string layer;
  if (key.block >= 0) {
    layer = shared_layer(sharing_of(checkpoint), static_cast<std::size_t>(key.block));
    table_of_block.block = layer;
  }
  rule.name = table_of_block.find(checkpoint, key);
  rule.optional = key.role == Role::head;
  return rule;
}

std::optional<ReadoutSpec> readout_of(const Checkpoint& checkpoint) {
  const std::string labels = names().find(checkpoint, {Role::readout_labels});
  const bool has_labels = checkpoint.find(labels) != nullptr, has_pooler = names().has(checkpoint, Role::readout_dense);
  if (!has_labels && !has_pooler) return std::nullopt;
  ReadoutSpec readout;
  if (has_labels && (!has_pooler || is_made_for(checkpoint, "ForTokenClassification"))) readout.rows = ReadoutRows::every;
  else readout.dense = Activation::tanh;
  if (has_labels) describe_labels(checkpoint, labels, readout);
  return readout;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "albert";
  spec.name = read.text_or({"_name_or_path"}, "albert");
  spec.width = read.count({"hidden_size"});
  spec.embedding_width = read.count_or({"embedding_size"}, 128);
  spec.context = read.count({"max_position_embeddings"});
  spec.token_types = read.count_or({"type_vocab_size"}, 2);
  spec.learned_positions = spec.embedding_norm = true;
  spec.final_norm = false;
  spec.pooling = Pooling::mean;
  const std::string positions = read.text_or({"position_embedding_type"}, "absolute");
  if (positions != "absolute") read.refuse("position_embedding_type", "absolute", quoted(positions));
  refuse_unless_absent(checkpoint, "pruned_heads");
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.mask = Mask::none;
  block.mlp = {read.count({"intermediate_size"}), false, read.activation("hidden_act", "gelu_new")};
  block.norm = NormKind::layer;
  block.placement = NormPlacement::post;
  block.norm_epsilon = static_cast<float>(read.number_or({"layer_norm_eps"}, 1e-12));
  const Sharing sharing = sharing_of(checkpoint);
  if (sharing.groups > sharing.passes) read.refuse("num_hidden_groups", "at most num_hidden_layers (" + std::to_string(sharing.passes) + ")", std::to_string(sharing.groups));
  if (sharing.inner > 1024) read.refuse("inner_group_num", "at most 1024", std::to_string(sharing.inner));
  spec.blocks.assign(sharing.passes * sharing.inner, block);
  spec.has_head = names().has(checkpoint, Role::head_transform);
  if (spec.has_head) spec.head_transform = {spec.embedding_width, block.mlp.activation, block.norm_epsilon};
  spec.readout = readout_of(checkpoint);
  return spec;
}

}  // namespace

const Architecture& architecture_albert() {
  static const Architecture architecture{"albert", "ALBERT: layers that share weights, embeddings narrower than the model",
                                         "Lan et al. 2019, arXiv:1909.11942",
                                         [](const Checkpoint& c) { return model_type(c) == "albert"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
