#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/encoder_heads.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

/// Names in a stack, as classifiers have them; other files lack the first component. '@' is "encoder" or "decoder", in GGUF "enc" or "dec". Of a stack alone it is the encoder.
NameTable names_of(Stack stack) {
  const bool decoder = stack == Stack::decoder;
  NameTable names{{
      {Role::token_embedding, "token_embd", "transformer.shared"},
      {Role::token_embedding, "", "transformer.@.embed_tokens"},
      {Role::token_embedding, "", "transformer.encoder.embed_tokens"},
      {Role::token_embedding, "", "transformer.decoder.embed_tokens"},
      {Role::final_norm, "@.output_norm", "transformer.@.final_layer_norm"},
      {Role::attn_norm, "@.blk.#.attn_norm", "transformer.@.block.#.layer.0.layer_norm"},
      {Role::attn_q, "@.blk.#.attn_q", "transformer.@.block.#.layer.0.SelfAttention.q"},
      {Role::attn_k, "@.blk.#.attn_k", "transformer.@.block.#.layer.0.SelfAttention.k"},
      {Role::attn_v, "@.blk.#.attn_v", "transformer.@.block.#.layer.0.SelfAttention.v"},
      {Role::attn_out, "@.blk.#.attn_o", "transformer.@.block.#.layer.0.SelfAttention.o"},
      // The first block's serves all.
      {Role::distance_bias, "@.blk.0.attn_rel_b", "transformer.@.block.0.layer.0.SelfAttention.relative_attention_bias"},
      {Role::cross_norm, "@.blk.#.cross_attn_norm", "transformer.@.block.#.layer.1.layer_norm"},
      {Role::cross_q, "@.blk.#.cross_attn_q", "transformer.@.block.#.layer.1.EncDecAttention.q"},
      {Role::cross_k, "@.blk.#.cross_attn_k", "transformer.@.block.#.layer.1.EncDecAttention.k"},
      {Role::cross_v, "@.blk.#.cross_attn_v", "transformer.@.block.#.layer.1.EncDecAttention.v"},
      {Role::cross_out, "@.blk.#.cross_attn_o", "transformer.@.block.#.layer.1.EncDecAttention.o"},
      {Role::mlp_norm, "@.blk.#.ffn_norm", decoder ? "transformer.@.block.#.layer.2.layer_norm" : "transformer.@.block.#.layer.1.layer_norm"},
      {Role::mlp_gate, "@.blk.#.ffn_gate", decoder ? "transformer.@.block.#.layer.2.DenseReluDense.wi_0" : "transformer.@.block.#.layer.1.DenseReluDense.wi_0"},
      {Role::mlp_up, "@.blk.#.ffn_up", decoder ? "transformer.@.block.#.layer.2.DenseReluDense.wi" : "transformer.@.block.#.layer.1.DenseReluDense.wi"},
      {Role::mlp_up, "", decoder ? "transformer.@.block.#.layer.2.DenseReluDense.wi_1" : "transformer.@.block.#.layer.1.DenseReluDense.wi_1"},
      {Role::mlp_down, "@.blk.#.ffn_down", decoder ? "transformer.@.block.#.layer.2.DenseReluDense.wo" : "transformer.@.block.#.layer.1.DenseReluDense.wo"},
      {Role::head, "output", "lm_head"},
      {Role::readout_dense, "", "classification_head.dense"},
      {Role::readout_labels, "", "classification_head.out_proj"},
      {Role::readout_labels, "", "classifier"},
  }};
  names.prefix = decoder ? "decoder" : "encoder";
  names.gguf_prefix = decoder ? "dec" : "enc";
  return names;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  TensorRule rule;
  const bool readout = key.role == Role::readout_dense || key.role == Role::readout_labels;
  if (key.bias && !readout) return rule;  // T5 has none
  rule.name = names_of(key.stack).find(checkpoint, key);
  rule.optional = key.role == Role::head;
  return rule;
}

/// "relu", "gated-gelu", "gated-silu"; a GGUF tells by its tensors.
MlpSpec describe_mlp(const Checkpoint& checkpoint, const MetadataReader& read) {
  MlpSpec mlp;
  mlp.width = read.count({"t5.feed_forward_length", "t5encoder.feed_forward_length", "d_ff"});
  if (checkpoint.format == "gguf") {
    mlp.gated = checkpoint.find("enc.blk.0.ffn_gate.weight") != nullptr;
    mlp.activation = mlp.gated ? Activation::gelu_tanh : Activation::relu;
    return mlp;
  }
  std::string words = read.text_or({"feed_forward_proj"}, model_type(read.checkpoint()) == "mt5" ? "gated-gelu" : "relu");
  mlp.gated = words.starts_with("gated-");
  if (words == "gated-gelu") words = "gated-gelu_new";  // what its authors meant by it
  mlp.activation = read.activation_named("feed_forward_proj", mlp.gated ? words.substr(6) : words);
  return mlp;
}

DistanceBuckets describe_buckets(const MetadataReader& read, Stack stack) {
  DistanceBuckets buckets;
  buckets.count = read.count_or({"t5.attention.relative_buckets_count", "t5encoder.attention.relative_buckets_count", "relative_attention_num_buckets"}, 32);
  buckets.furthest = read.count_or({"relative_attention_max_distance"}, 128);
  buckets.both_sides = stack != Stack::decoder;
  const std::size_t single = buckets.count / (buckets.both_sides ? 4 : 2);
  if (single < 1 || buckets.count > 4096) read.refuse("relative_attention_num_buckets", "4 to 4096", std::to_string(buckets.count));
  if (buckets.furthest <= single || buckets.furthest > 1u << 20) {
    read.refuse("relative_attention_max_distance", std::to_string(single + 1) + " to 1048576", std::to_string(buckets.furthest));
  }
  return buckets;
}

ModelSpec describe_stack(const Checkpoint& checkpoint, Stack stack) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.stack = stack;
  spec.architecture = "t5";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "t5");
  spec.width = read.count({"t5.embedding_length", "t5encoder.embedding_length", "d_model"});
  spec.has_head = false;
  spec.pooling = Pooling::mean;
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"t5.attention.head_count", "t5encoder.attention.head_count", "num_heads"}, 4096);
  attention.head_dim = read.count_or({"t5.attention.key_length", "t5encoder.attention.key_length", "d_kv"}, read.is_gguf() ? spec.width / attention.heads : 64);
  attention.scale = 1.0f;  // folded into the weights when they were trained
  attention.mask = stack == Stack::decoder ? Mask::causal : Mask::none;
  if (stack == Stack::decoder) {
    block.cross = attention;
    block.cross->mask = Mask::none;
  }
  attention.distance_buckets = describe_buckets(read, stack);
  block.mlp = describe_mlp(checkpoint, read);
  block.norm = NormKind::rms;
  block.norm_epsilon = static_cast<float>(read.number_or(
      {"t5.attention.layer_norm_rms_epsilon", "t5.attention.layer_norm_epsilon", "t5encoder.attention.layer_norm_rms_epsilon", "t5encoder.attention.layer_norm_epsilon", "layer_norm_epsilon"}, 1e-6));
  const std::size_t layers = read.count({"t5.block_count", "t5encoder.block_count", "num_layers"}, 1024);
  const bool own_depth = stack == Stack::decoder && read.has({"t5.decoder_block_count", "num_decoder_layers"});
  spec.blocks.assign(own_depth ? read.count({"t5.decoder_block_count", "num_decoder_layers"}, 1024) : layers, block);
  return spec;
}

/// Rows that the head multiplies are scaled where it is the embedding: transformers 5 says so, 4 by the tie, a GGUF by its tensors. mT5
/// has a head of its own, whatever its config says of a tie.
bool scales_head(const Checkpoint& checkpoint, const MetadataReader& read) {
  if (model_type(checkpoint) == "mt5") return false;
  if (checkpoint.format == "gguf") return checkpoint.find("output.weight") == nullptr;
  return read.has({"scale_decoder_outputs"}) ? read.flag_or({"scale_decoder_outputs"}, true) : read.flag_or({"tie_word_embeddings"}, true);
}

/// Labels of a text, off the decoder.
void describe_text_labels(const Checkpoint& checkpoint, const NameTable& names, ModelSpec& spec) {
  const MetadataReader read(checkpoint);
  spec.readout = ReadoutSpec{.rows = ReadoutRows::last_end, .dense = Activation::tanh};
  describe_labels(checkpoint, names.find(checkpoint, {Role::readout_labels}), *spec.readout);
  const Json& end = checkpoint.metadata["eos_token_id"];
  if (!end.is_null() && !end.is_integer()) read.refuse("eos_token_id", "one token id", quoted(end.dump()));
  spec.end_token = static_cast<std::int32_t>(end.is_null() ? 1 : end.integer());
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  const NameTable names = names_of(Stack::decoder);
  if (!checkpoint.find(names.find(checkpoint, {Role::final_norm, -1, false, Stack::decoder}))) {
    ModelSpec spec = describe_stack(checkpoint, Stack::only);  // an encoder alone
    if (names.has(checkpoint, Role::readout_labels)) {
      spec.readout = ReadoutSpec{.rows = ReadoutRows::every};
      describe_labels(checkpoint, names.find(checkpoint, {Role::readout_labels}), *spec.readout);
    }
    return spec;
  }
  ModelSpec spec = describe_stack(checkpoint, Stack::decoder);
  spec.encoder.push_back(describe_stack(checkpoint, Stack::encoder));
  if (names.has(checkpoint, Role::readout_dense)) {
    describe_text_labels(checkpoint, names, spec);
    return spec;
  }
  spec.has_head = names.has(checkpoint, Role::head) || checkpoint.metadata["architectures"].is_null() || is_made_for(checkpoint, "ForConditionalGeneration");
  if (spec.has_head && scales_head(checkpoint, read)) spec.head_scale = 1.0f / std::sqrt(static_cast<float>(spec.width));
  return spec;
}

bool recognises(const Checkpoint& checkpoint) {
  const std::string type = model_type(checkpoint);
  return type == "t5" || type == "mt5" || (checkpoint.format == "gguf" && type == "t5encoder");
}

}  // namespace

const Architecture& architecture_t5() {
  static const Architecture architecture{"t5", "T5, T5 1.1, Flan-T5, mT5: an encoder-decoder with biases by distance", "Raffel et al. 2020, arXiv:1910.10683",
                                         recognises, describe, tensor};
  return architecture;
}

}  // namespace vitrine
