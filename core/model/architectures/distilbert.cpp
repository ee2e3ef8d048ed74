#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/encoder_heads.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

const NameTable& names() {
  static const NameTable table{{
      {Role::token_embedding, "", "distilbert.embeddings.word_embeddings"},
      {Role::position_embedding, "", "distilbert.embeddings.position_embeddings"},
      {Role::embedding_norm, "", "distilbert.embeddings.LayerNorm"},
      {Role::attn_q, "", "distilbert.transformer.layer.#.attention.q_lin"},
      {Role::attn_k, "", "distilbert.transformer.layer.#.attention.k_lin"},
      {Role::attn_v, "", "distilbert.transformer.layer.#.attention.v_lin"},
      {Role::attn_out, "", "distilbert.transformer.layer.#.attention.out_lin"},
      {Role::attn_norm, "", "distilbert.transformer.layer.#.sa_layer_norm"},
      {Role::mlp_up, "", "distilbert.transformer.layer.#.ffn.lin1"},
      {Role::mlp_down, "", "distilbert.transformer.layer.#.ffn.lin2"},
      {Role::mlp_norm, "", "distilbert.transformer.layer.#.output_layer_norm"},
      {Role::head_transform, "", "vocab_transform"},
      {Role::head_norm, "", "vocab_layer_norm"},
      {Role::head, "", "vocab_projector"},
      {Role::readout_dense, "", "pre_classifier"},
      {Role::readout_labels, "", "classifier"},
  }};
  return table;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  TensorRule rule;
  if (key.bias && (key.role == Role::token_embedding || key.role == Role::position_embedding)) return rule;
  rule.name = names().find(checkpoint, key);
  rule.optional = key.role == Role::head;
  return rule;
}

std::optional<ReadoutSpec> readout_of(const Checkpoint& checkpoint) {
  const std::string labels = names().find(checkpoint, {Role::readout_labels});
  if (!checkpoint.find(labels)) return std::nullopt;
  ReadoutSpec readout;
  if (names().has(checkpoint, Role::readout_dense)) readout.dense = Activation::relu;
  else readout.rows = ReadoutRows::every;
  describe_labels(checkpoint, labels, readout);
  return readout;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "distilbert";
  spec.name = read.text_or({"_name_or_path"}, "distilbert");
  spec.width = read.count({"dim", "hidden_size"});
  spec.context = read.count({"max_position_embeddings"});
  spec.learned_positions = spec.embedding_norm = true;  // sinusoidal_pos_embds are in the file like others
  spec.final_norm = false;
  spec.pooling = Pooling::mean;
  refuse_unless_absent(checkpoint, "pruned_heads");
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"n_heads", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.mask = Mask::none;
  block.mlp = {read.count({"hidden_dim"}), false, read.activation("activation", "gelu")};
  block.norm = NormKind::layer;
  block.placement = NormPlacement::post;
  block.norm_epsilon = 1e-12f;
  spec.blocks.assign(read.count({"n_layers", "num_hidden_layers"}, 1024), block);
  spec.has_head = names().has(checkpoint, Role::head_transform);
  if (spec.has_head) spec.head_transform = {spec.width, block.mlp.activation, block.norm_epsilon};
  spec.readout = readout_of(checkpoint);
  return spec;
}

}  // namespace

const Architecture& architecture_distilbert() {
  static const Architecture architecture{"distilbert", "DistilBERT: BERT without token types and pooler",
                                         "Sanh et al. 2019, arXiv:1910.01108",
                                         [](const Checkpoint& c) { return model_type(c) == "distilbert"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
