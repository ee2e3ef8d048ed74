#include "core/model/rotary_decoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/model/rope_metadata.h"

namespace vitrine {
namespace {

/// Fused over all experts, or one tensor for each.
TensorRule expert_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  if (key.bias) return {};
  const MlpSpec& mlp = spec.blocks[static_cast<std::size_t>(key.block)].mlp;
  const std::string block = std::to_string(key.block), expert = std::to_string(key.expert);
  const auto part = [&](std::string_view gate, std::string_view up, std::string_view down) {
    return std::string(key.role == Role::mlp_gate ? gate : key.role == Role::mlp_up ? up : down);
  };
  const auto place = static_cast<std::size_t>(key.expert);
  const std::size_t rows = key.role == Role::mlp_down ? spec.width : mlp.width;
  if (checkpoint.format == "gguf") {
    const std::string name = "blk." + block + "." + part("ffn_gate", "ffn_up", "ffn_down");
    if (checkpoint.find(name + "." + expert + ".weight")) return {.name = name + "." + expert + ".weight"};
    return {.name = name + "_exps.weight", .first_row = place * rows, .rows = rows, .fused_rows = mlp.experts * rows};
  }
  const std::string layer = "model.layers." + block, fused = layer + ".mlp.experts." + part("gate_up_proj", "gate_up_proj", "down_proj");
  if (!checkpoint.find(fused)) {
    return {.name = layer + ".block_sparse_moe.experts." + expert + part(".w1", ".w3", ".w2") + ".weight"};
  }
  const std::size_t period = key.role == Role::mlp_down ? rows : 2 * rows;
  return {.name = fused, .first_row = place * period + (key.role == Role::mlp_up ? rows : 0), .rows = rows, .fused_rows = mlp.experts * period};
}

std::string tensor_name(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool sandwich = spec.blocks.front().placement == NormPlacement::sandwich;
  const NameTable names{{
      {Role::token_embedding, "token_embd", "model.embed_tokens"},
      {Role::final_norm, "output_norm", "model.norm"},
      {Role::head, "output", "lm_head"},
      {Role::attn_norm, "blk.#.attn_norm", "model.layers.#.input_layernorm"},
      {Role::attn_q, "blk.#.attn_q", "model.layers.#.self_attn.q_proj"},
      {Role::attn_k, "blk.#.attn_k", "model.layers.#.self_attn.k_proj"},
      {Role::attn_v, "blk.#.attn_v", "model.layers.#.self_attn.v_proj"},
      {Role::attn_q_norm, "blk.#.attn_q_norm", "model.layers.#.self_attn.q_norm"},
      {Role::attn_k_norm, "blk.#.attn_k_norm", "model.layers.#.self_attn.k_norm"},
      {Role::attn_out, "blk.#.attn_output", "model.layers.#.self_attn.o_proj"},
      {Role::attn_post_norm, "blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm"},
      {Role::mlp_norm, "blk.#.ffn_norm", sandwich ? "model.layers.#.pre_feedforward_layernorm" : "model.layers.#.post_attention_layernorm"},
      {Role::mlp_gate, "blk.#.ffn_gate", "model.layers.#.mlp.gate_proj"},
      {Role::mlp_up, "blk.#.ffn_up", "model.layers.#.mlp.up_proj"},
      {Role::mlp_down, "blk.#.ffn_down", "model.layers.#.mlp.down_proj"},
      {Role::mlp_post_norm, "blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm"},
      {Role::mlp_router, "blk.#.ffn_gate_inp", "model.layers.#.mlp.gate"},
  }};
  const std::string name = names.find(checkpoint, key);
  if (key.role != Role::mlp_router || checkpoint.find(name)) return name;
  const NameTable before{{{Role::mlp_router, "blk.#.ffn_gate_inp", "model.layers.#.block_sparse_moe.gate"}}};
  return before.find(checkpoint, key);
}

bool has_bias(const WeightKey& key, const BiasRule& biases) {
  switch (key.role) {
    case Role::attn_q: case Role::attn_k: case Role::attn_v: return biases.qkv;
    case Role::attn_out: return biases.attn_out;
    case Role::mlp_gate: case Role::mlp_up: case Role::mlp_down: return biases.mlp;
    default: return false;
  }
}

}  // namespace

ModelSpec describe_rotary_decoder(const MetadataReader& read, const RotaryDefaults& defaults) {
  ModelSpec spec;
  spec.architecture = defaults.architecture;
  spec.name = read.text_or({"general.name", "_name_or_path"}, defaults.architecture);
  spec.width = read.count({"%.embedding_length", "hidden_size"});
  const auto count_or = [&](std::initializer_list<std::string_view> keys, std::size_t fallback, std::size_t limit = 1u << 24) {
    return read.is_gguf() || fallback == 0 || read.has(keys) ? read.count(keys, limit) : fallback;
  };
  spec.context = count_or({"%.context_length", "max_position_embeddings"}, defaults.context);
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = count_or({"%.attention.head_count", "num_attention_heads"}, defaults.heads, 4096);
  const bool says_nothing = !read.is_gguf() && !read.lists("num_key_value_heads") && defaults.kv_heads > 0;
  attention.kv_heads = read.count_or({"%.attention.head_count_kv", "num_key_value_heads"}, says_nothing ? defaults.kv_heads : attention.heads);
  const bool default_head = !read.is_gguf() && !read.lists("head_dim") && defaults.head_dim > 0;
  attention.head_dim = read.count_or({"%.attention.key_length", "head_dim"}, default_head ? defaults.head_dim : spec.width / attention.heads);
  if (attention.head_dim == 0 || attention.heads % attention.kv_heads != 0) {
    read.refuse("attention heads", "a multiple of the key-value heads (" + std::to_string(attention.kv_heads) + ")", std::to_string(attention.heads));
  }
  if (read.count_or({"%.attention.value_length"}, attention.head_dim) != attention.head_dim) {
    read.refuse("%.attention.value_length", "the size of keys, " + std::to_string(attention.head_dim), read.value("%.attention.value_length").dump());
  }
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  describe_rope(read, RopeDefaults{.theta = defaults.theta, .layer_type = defaults.layer_type, .old_longrope = defaults.old_longrope}, attention);
  attention.rope = RopeKind::half;
  if (!read.is_gguf() && !defaults.old_longrope && attention.rope_dim != attention.head_dim) {
    read.refuse("partial_rotary_factor", "1: the whole of a head rotates in " + std::string(defaults.architecture), std::to_string(attention.rope_dim) + " of " +
                std::to_string(attention.head_dim) + " numbers");
  }
  block.mlp = {read.count({"%.feed_forward_length", "intermediate_size"}), true, read.activation(defaults.activation_key, defaults.activation)};
  block.norm_epsilon = static_cast<float>(read.number_or({"%.attention.layer_norm_rms_epsilon", "rms_norm_eps"}, defaults.epsilon));
  spec.blocks.assign(read.count({"%.block_count", "num_hidden_layers"}, 1024), block);
  return spec;
}

TensorRule rotary_decoder_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key, const BiasRule& biases) {
  if (key.expert >= 0) return expert_tensor(checkpoint, spec, key);
  const bool gguf = checkpoint.format == "gguf", bias = has_bias(key, biases);
  if (key.bias && !gguf && !bias) return {};
  TensorRule rule{.name = tensor_name(checkpoint, spec, key)};
  rule.optional = key.role == Role::head && !key.bias;  // without a head tensor the embedding serves
  rule.needed_bias = bias && !gguf;
  return rule;
}

void unpermute_gguf(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key, TensorRule& rule) {
  if (checkpoint.format != "gguf" || (key.role != Role::attn_q && key.role != Role::attn_k)) return;
  const AttentionSpec& attention = spec.blocks[static_cast<std::size_t>(key.block)].attention;
  rule.permuted_heads = key.role == Role::attn_q ? attention.heads : attention.kv_heads;
}

TensorRule llama_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const MetadataReader read(checkpoint);
  const bool attention = read.flag_or({"attention_bias"}, false), mlp = read.flag_or({"mlp_bias"}, false);
  TensorRule rule = rotary_decoder_tensor(checkpoint, spec, key, {.qkv = attention, .attn_out = attention, .mlp = mlp});
  unpermute_gguf(checkpoint, spec, key, rule);
  return rule;
}

std::vector<bool> sliding_layers(const MetadataReader& read, std::size_t blocks) {
  std::vector<bool> slides;
  for (const std::string& type : read.texts("layer_types", blocks)) {
    if (type != "full_attention" && type != "sliding_attention") read.refuse("layer_types", "full_attention or sliding_attention", quoted(type));
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

void set_window(const MetadataReader& read, std::initializer_list<std::string_view> keys, ModelSpec& spec) {
  if (!read.has(keys)) return;
  const std::size_t window = read.count(keys);
  for (BlockSpec& block : spec.blocks) block.attention.window = window;
}

void set_optional_windows(const MetadataReader& read, std::size_t default_first, ModelSpec& spec) {
  if (read.is_gguf()) return set_window(read, {"%.attention.sliding_window"}, spec);
  const std::vector<bool> said = sliding_layers(read, spec.blocks.size());
  if (!read.flag_or({"use_sliding_window"}, false)) {
    for (const bool slides : said) {
      if (slides) read.refuse("layer_types", "full_attention where use_sliding_window is false", "sliding_attention");
    }
    return;
  }
  const std::size_t window = read.count_or({"sliding_window"}, read.lists("sliding_window") ? 0 : 4096);
  const std::size_t first = read.value("max_window_layers").is_integer() && read.value("max_window_layers").integer() == 0
                                ? 0 : read.count_or({"max_window_layers"}, default_first);
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const bool slides = said.empty() ? window > 0 && i >= first : said[i];
    if (slides && window == 0) read.refuse("sliding_window", "a number of tokens", "none");
    if (slides) spec.blocks[i].attention.window = window;
  }
}

void set_experts(const MetadataReader& read, ModelSpec& spec) {
  const bool said = read.is_gguf() || read.has({"num_local_experts"}), chooses = read.is_gguf() || read.has({"num_experts_per_tok"});
  const std::size_t experts = said ? read.count({"%.expert_count", "num_local_experts"}, 4096) : 8;
  const std::size_t chosen = chooses ? read.count({"%.expert_used_count", "num_experts_per_tok"}, experts) : std::min<std::size_t>(2, experts);
  for (BlockSpec& block : spec.blocks) {
    block.mlp.experts = experts;
    block.mlp.experts_per_row = chosen;
  }
}

}  // namespace vitrine
