#include "core/model/bart_layout.h"

#include <cmath>

#include "core/base/error.h"
#include "core/model/encoder_heads.h"

namespace vitrine {
namespace {

/// Names in the stack `stack`; '@' is "encoder" or "decoder".
NameTable names_of(Stack stack) {
  NameTable names{{
      // One table often serves both stacks and the head, under one of these names.
      {Role::token_embedding, "", "model.@.embed_tokens"},
      {Role::token_embedding, "", "model.shared"},
      {Role::token_embedding, "", "model.encoder.embed_tokens"},
      {Role::token_embedding, "", "model.decoder.embed_tokens"},
      {Role::position_embedding, "", "model.@.embed_positions"},
      {Role::embedding_norm, "", "model.@.layernorm_embedding"},
      {Role::final_norm, "", "model.@.layer_norm"},
      {Role::attn_q, "", "model.@.layers.#.self_attn.q_proj"},
      {Role::attn_k, "", "model.@.layers.#.self_attn.k_proj"},
      {Role::attn_v, "", "model.@.layers.#.self_attn.v_proj"},
      {Role::attn_out, "", "model.@.layers.#.self_attn.out_proj"},
      {Role::attn_norm, "", "model.@.layers.#.self_attn_layer_norm"},
      {Role::cross_q, "", "model.@.layers.#.encoder_attn.q_proj"},
      {Role::cross_k, "", "model.@.layers.#.encoder_attn.k_proj"},
      {Role::cross_v, "", "model.@.layers.#.encoder_attn.v_proj"},
      {Role::cross_out, "", "model.@.layers.#.encoder_attn.out_proj"},
      {Role::cross_norm, "", "model.@.layers.#.encoder_attn_layer_norm"},
      {Role::mlp_up, "", "model.@.layers.#.fc1"},
      {Role::mlp_down, "", "model.@.layers.#.fc2"},
      {Role::mlp_norm, "", "model.@.layers.#.final_layer_norm"},
      {Role::head, "", "lm_head"},
      {Role::readout_dense, "", "classification_head.dense"},
      {Role::readout_labels, "", "classification_head.out_proj"},
  }};
  names.prefix = stack == Stack::encoder ? "encoder" : "decoder";
  return names;
}

struct SideKeys {
  std::string_view layers, heads, mlp_width;
};

/// What both stacks have alike, and the blocks of one.
ModelSpec describe_stack(const Checkpoint& checkpoint, const BartFamily& family, Stack stack) {
  const MetadataReader read(checkpoint);
  const SideKeys keys = stack == Stack::encoder ? SideKeys{"encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"}
                                                : SideKeys{"decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"};
  ModelSpec spec;
  spec.stack = stack;
  spec.architecture = family.name;
  spec.name = read.text_or({"_name_or_path"}, family.name);
  spec.width = read.count({"d_model"});
  spec.context = read.count({"max_position_embeddings"});
  spec.learned_positions = true;
  spec.position_table = family.positions;
  if (family.positions != PositionTable::sines) spec.position_offset = 2;
  spec.embedding_norm = family.embedding_norm;
  spec.final_norm = family.final_norm;
  spec.has_head = false;
  spec.pooling = Pooling::mean;
  if (read.flag_or({"scale_embedding"}, family.scales_embedding)) spec.embedding_scale = std::sqrt(static_cast<float>(spec.width));
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({keys.heads}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.mask = stack == Stack::encoder ? Mask::none : Mask::causal;
  if (stack == Stack::decoder) {
    block.cross = attention;
    block.cross->mask = Mask::none;
  }
  block.mlp = {read.count({keys.mlp_width}), false, read.activation("activation_function", family.activation)};
  block.norm = NormKind::layer;
  block.placement = family.placement;
  block.norm_epsilon = 1e-5f;
  spec.blocks.assign(read.count({keys.layers}, 1024), block);
  return spec;
}

/// Padding stands at the row before the first position.
void skip_padding(const Checkpoint& checkpoint, ModelSpec& spec) {
  const Json& pad = checkpoint.metadata["pad_token_id"];
  if (!pad.is_null() && (!pad.is_integer() || pad.integer() < 0 || pad.integer() > 1 << 24)) {
    MetadataReader(checkpoint).refuse("pad_token_id", "a token id", quoted(pad.dump()));
  }
  const std::int64_t padding = pad.is_null() ? 1 : pad.integer();
  spec.uncounted_token = static_cast<std::int32_t>(padding);
  spec.position_offset = static_cast<std::size_t>(padding) + 1;
}

}  // namespace

TensorRule bart_layout_tensor(const Checkpoint& checkpoint, const WeightKey& key) {
  TensorRule rule;
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding;
  if (key.bias && table) return rule;
  rule.name = key.role == Role::head && key.bias ? "final_logits_bias" : names_of(key.stack).find(checkpoint, key);
  rule.optional = key.role == Role::head;
  return rule;
}

ModelSpec describe_bart_layout(const Checkpoint& checkpoint, const BartFamily& family) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_stack(checkpoint, family, Stack::decoder);
  spec.encoder.push_back(describe_stack(checkpoint, family, Stack::encoder));
  if (family.positions == PositionTable::sines_to_end && spec.width < 4) read.refuse("d_model", "at least 4", std::to_string(spec.width));
  if (family.skips_padding) {
    skip_padding(checkpoint, spec);
    skip_padding(checkpoint, spec.encoder.front());
  }
  const NameTable names = names_of(Stack::decoder);
  const bool labels = names.has(checkpoint, Role::readout_labels);
  const bool bare = !checkpoint.metadata["architectures"].is_null() && !is_made_for(checkpoint, "ForConditionalGeneration") &&
                    !is_made_for(checkpoint, "MTModel") && !names.has(checkpoint, Role::head);
  spec.has_head = !labels && !bare;
  if (labels) {
    spec.readout = ReadoutSpec{.rows = ReadoutRows::last_end, .dense = Activation::tanh};
    describe_labels(checkpoint, names.find(checkpoint, {Role::readout_labels}), *spec.readout);
    const Json& end = checkpoint.metadata["eos_token_id"];
    if (!end.is_null() && !end.is_integer()) read.refuse("eos_token_id", "one token id", quoted(end.dump()));
    spec.end_token = static_cast<std::int32_t>(end.is_null() ? 2 : end.integer());
  }
  return spec;
}

}  // namespace vitrine
