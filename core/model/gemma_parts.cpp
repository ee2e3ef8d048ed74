#include "core/model/gemma_parts.h"

#include <cmath>
#include <string>

#include "core/base/error.h"

namespace vitrine {

void set_gemma_embedding(const MetadataReader& read, ModelSpec& spec) {
  if (read.flag_or({"use_bidirectional_attention"}, false)) read.refuse("use_bidirectional_attention", "false", "true");
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.width));
}

Activation read_gemma_activation(const MetadataReader& read, std::string_view key) {
  return read.text_or({key}, "gelu") == "gelu" ? Activation::gelu_tanh : read.activation(key, "gelu_pytorch_tanh");
}

void set_query_scale(const MetadataReader& read, std::size_t largest_blocks, ModelSpec& spec) {
  const AttentionSpec& first = spec.blocks.front().attention;
  double square = read.number_or({"query_pre_attn_scalar"}, 256.0);
  if (read.is_gguf()) square = static_cast<double>(spec.blocks.size() == largest_blocks ? spec.width / first.heads : first.head_dim);
  if (!(square > 0.0)) read.refuse("query_pre_attn_scalar", "a number above 0", std::to_string(square));
  for (BlockSpec& block : spec.blocks) block.attention.scale = static_cast<float>(1.0 / std::sqrt(square));
}

double read_cap(const MetadataReader& read, std::initializer_list<std::string_view> keys, double fallback) {
  for (const std::string_view key : keys) {
    if (read.lists(key) && !read.has({key})) return 0.0;
  }
  const double cap = read.number_or(keys, fallback);
  if (cap < 0.0 || cap > 1e9) read.refuse(*(keys.end() - 1), "a number from 0 to 1e9", std::to_string(cap));
  return cap;
}

void set_gemma_windows(const MetadataReader& read, std::size_t pattern, ModelSpec& spec) {
  const std::size_t every = read.count_or({"sliding_window_pattern", "_sliding_window_pattern", "%.attention.sliding_window_pattern"}, pattern);
  const std::vector<bool> said = sliding_layers(read, spec.blocks.size());
  const bool has_window = read.has({"%.attention.sliding_window", "sliding_window"});
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    if (!(said.empty() ? (i + 1) % every != 0 : said[i])) continue;
    if (!has_window && read.lists("sliding_window")) read.refuse("sliding_window", "a number of tokens", "null");
    spec.blocks[i].attention.window = read.count_or({"%.attention.sliding_window", "sliding_window"}, 4096);
  }
}

TensorRule gemma_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool bias = MetadataReader(checkpoint).flag_or({"attention_bias"}, false), gguf = checkpoint.format == "gguf";
  TensorRule rule = rotary_decoder_tensor(checkpoint, spec, key, {.qkv = bias, .attn_out = bias});
  switch (key.role) {
    case Role::attn_norm: case Role::mlp_norm: case Role::final_norm: case Role::attn_post_norm: case Role::mlp_post_norm:
    case Role::attn_q_norm: case Role::attn_k_norm: rule.plus_one = !gguf; break;  // GGUF's writers have added it
    default: break;
  }
  if (gguf || rule.name.empty() || checkpoint.find(rule.name)) return rule;
  // Beside an eye, the text model's tensors stand under a name of their own.
  const std::string inside = rule.name.starts_with("model.") ? rule.name.substr(6) : rule.name;
  for (const std::string& name : {"model.language_model." + inside, "language_model." + rule.name, "language_model.model." + inside}) {
    if (checkpoint.find(name)) rule.name = name;
  }
  return rule;
}

}  // namespace vitrine
