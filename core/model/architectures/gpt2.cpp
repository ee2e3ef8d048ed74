#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "gpt2";
  spec.name = read.text_or({"general.name", "_name_or_path"}, "gpt2");
  spec.width = read.count({"gpt2.embedding_length", "n_embd"});
  spec.context = read.count({"gpt2.context_length", "n_positions"});
  spec.learned_positions = true;
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"gpt2.attention.head_count", "n_head"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  if (!read.flag_or({"scale_attn_weights"}, true)) attention.scale = 1.0f;
  if (read.flag_or({"scale_attn_by_inverse_layer_idx"}, false)) {
    read.refuse("scale_attn_by_inverse_layer_idx", "false", "true");
  }
  block.mlp = {read.count_or({"gpt2.feed_forward_length", "n_inner"}, 4 * spec.width), false,
               read.activation("activation_function", "gelu_new")};
  block.norm = NormKind::layer;
  block.norm_epsilon =
      static_cast<float>(read.number_or({"gpt2.attention.layer_norm_epsilon", "layer_norm_epsilon"}, 1e-5));
  spec.blocks.assign(read.count({"gpt2.block_count", "n_layer"}, 1024), block);
  return spec;
}

std::string tensor_name(const Checkpoint& checkpoint, const WeightKey& key) {
  // Files of the bare model lack the "transformer." that files with a head have.
  const NameTable names{{
      {Role::token_embedding, "token_embd", "transformer.wte"},
      {Role::position_embedding, "position_embd", "transformer.wpe"},
      {Role::final_norm, "output_norm", "transformer.ln_f"},
      {Role::head, "output", "lm_head"},
      {Role::attn_norm, "blk.#.attn_norm", "transformer.h.#.ln_1"},
      {Role::attn_q, "blk.#.attn_qkv", "transformer.h.#.attn.c_attn"},
      {Role::attn_k, "blk.#.attn_qkv", "transformer.h.#.attn.c_attn"},
      {Role::attn_v, "blk.#.attn_qkv", "transformer.h.#.attn.c_attn"},
      {Role::attn_out, "blk.#.attn_output", "transformer.h.#.attn.c_proj"},
      {Role::mlp_norm, "blk.#.ffn_norm", "transformer.h.#.ln_2"},
      {Role::mlp_up, "blk.#.ffn_up", "transformer.h.#.mlp.c_fc"},
      {Role::mlp_down, "blk.#.ffn_down", "transformer.h.#.mlp.c_proj"},
  }};
  return names.find(checkpoint, key);
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  TensorRule rule;
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::head;
  if (key.bias && table) return rule;
  rule.name = tensor_name(checkpoint, key);
  rule.optional = key.role == Role::head;
  const bool norm = key.role == Role::attn_norm || key.role == Role::mlp_norm || key.role == Role::final_norm;
  rule.transposed = checkpoint.format != "gguf" && !table && !norm && !key.bias;  // Conv1D keeps [in, out]
  if (key.role == Role::attn_q || key.role == Role::attn_k || key.role == Role::attn_v) {
    rule.rows = spec.width;
    rule.first_row = (static_cast<std::size_t>(key.role) - static_cast<std::size_t>(Role::attn_q)) * spec.width;
  }
  return rule;
}

}  // namespace

const Architecture& architecture_gpt2() {
  static const Architecture architecture{"gpt2", "GPT-2: layer norm before, learned positions, gelu",
                                         "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
                                         [](const Checkpoint& c) { return model_type(c) == "gpt2"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
