#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/model/fused_attention.h"
#include "core/model/metadata.h"

// Megatron-LM's own names and keys, as in a folder with its tensors in safetensors and its arguments in config.json
// ("model_type": "megatron"). In which order q, k and v lie is said by "checkpoint_version".

namespace vitrine {
namespace {

Activation activation_of(const MetadataReader& read) {
  if (read.has({"activation_function"})) return read.activation("activation_function", "gelu_new");
  const bool tanh = read.flag_or({"bias_gelu_fusion"}, true) || read.flag_or({"openai_gelu"}, false);
  return tanh ? Activation::gelu_tanh : Activation::gelu_erf;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "megatron";
  spec.name = read.text_or({"_name_or_path"}, "megatron");
  spec.width = read.count({"hidden_size", "n_embd"});
  spec.context = read.count({"max_position_embeddings", "n_positions"});
  spec.learned_positions = true;
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"num_attention_heads", "n_head"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  block.mlp = {read.count_or({"ffn_hidden_size", "n_inner"}, 4 * spec.width), false, activation_of(read)};
  block.norm = NormKind::layer;
  block.norm_epsilon = static_cast<float>(read.number_or({"layernorm_epsilon", "layer_norm_epsilon"}, 1e-5));
  for (const std::string_view key : {"apply_residual_connection_post_layernorm", "swiglu", "add_position_embedding_off", "use_rotary_position_embeddings"}) {
    if (read.flag_or({key}, false)) read.refuse(key, "false", "true");
  }
  spec.blocks.assign(read.count({"num_layers", "n_layer"}, 1024), block);
  return spec;
}

FusedOrder order_of(const MetadataReader& read) {
  const double version = read.number_or({"checkpoint_version"}, 0.0);
  if (version != 0.0 && version != 1.0 && version != 2.0 && version != 3.0) read.refuse("checkpoint_version", "0, 1, 2 or 3", std::to_string(version));
  return version == 0.0 ? FusedOrder::apart : version == 1.0 ? FusedOrder::by_number : FusedOrder::by_group;
}

std::string part_of_block(Role role) {
  switch (role) {
    case Role::attn_norm: return "input_layernorm";
    case Role::attn_q: case Role::attn_k: case Role::attn_v: return "attention.query_key_value";
    case Role::attn_out: return "attention.dense";
    case Role::mlp_norm: return "post_attention_layernorm";
    case Role::mlp_up: return "mlp.dense_h_to_4h";
    case Role::mlp_down: return "mlp.dense_4h_to_h";
    default: return "";
  }
}

/// Names changed with the years: the stack was called transformer, then encoder, its attention got "self_"; a file may
/// have "model." before everything.
std::string tensor_name(const Checkpoint& checkpoint, const WeightKey& key) {
  const std::string ending = key.bias ? ".bias" : ".weight", part = part_of_block(key.role);
  std::string first;
  for (const std::string& stack : {std::string("language_model.transformer."), std::string("language_model.encoder.")}) {
    for (const std::string& self : {std::string(), std::string("self_")}) {
      std::string name = stack + "layers." + std::to_string(key.block) + "." + (part.starts_with("attention") ? self : "") + part + ending;
      if (key.role == Role::token_embedding) name = "language_model.embedding.word_embeddings.weight";
      if (key.role == Role::position_embedding) name = "language_model.embedding.position_embeddings.weight";
      if (key.role == Role::final_norm) name = stack + "final_layernorm" + ending;
      if (key.role == Role::head) name = "language_model.output_layer.weight";
      if (first.empty()) first = name;
      for (const std::string& found : {name, "model." + name}) {
        if (checkpoint.find(found)) return found;
      }
    }
  }
  return first;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::head;
  const bool known = table || key.role == Role::final_norm || !part_of_block(key.role).empty();
  if (!known || (key.bias && table)) return {};
  TensorRule rule{.name = tensor_name(checkpoint, key), .optional = key.role == Role::head, .needed_bias = true};
  take_from_fused(order_of(MetadataReader(checkpoint)), spec.blocks.front().attention, key.role, rule);
  return rule;
}

}  // namespace

const Architecture& architecture_megatron() {
  static const Architecture architecture{"megatron", "Megatron-LM and Turing-NLG: GPT-2's shape under Megatron's names",
                                         "Shoeybi et al. 2019, arXiv:1909.08053; Rosset 2020, Turing-NLG",
                                         [](const Checkpoint& c) {
                                           const std::string type = model_type(c);
                                           return c.format != "gguf" && (type == "megatron" || type == "megatron-gpt2" || type == "megatron_gpt2" || type == "turing-nlg");
                                         },
                                         describe, tensor};
  return architecture;
}

}  // namespace vitrine
