#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "qwen3", .context = 32768, .kv_heads = 32, .head_dim = 128});
  for (BlockSpec& block : spec.blocks) block.attention.qk_norm = true;
  set_optional_windows(read, 28, spec);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const bool bias = MetadataReader(checkpoint).flag_or({"attention_bias"}, false);
  return rotary_decoder_tensor(checkpoint, spec, key, {.qkv = bias, .attn_out = bias});
}

}  // namespace

const Architecture& architecture_qwen3() {
  static const Architecture architecture{"qwen3", "Qwen 3: Llama with normed queries and keys", "Yang et al. 2025, arXiv:2505.09388",
                                         [](const Checkpoint& c) { return model_type(c) == "qwen3"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
