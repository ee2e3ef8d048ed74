#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "llama"});
  set_window(read, {"%.attention.sliding_window"}, spec);  // Mistral's GGUF files are of this family
  if (read.has({"%.expert_count"})) set_experts(read, spec);  // and Mixtral's
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  const MetadataReader read(checkpoint);
  const bool attention = read.flag_or({"attention_bias"}, false), mlp = read.flag_or({"mlp_bias"}, false);
  TensorRule rule = rotary_decoder_tensor(checkpoint, spec, key, {.qkv = attention, .attn_out = attention, .mlp = mlp});
  unpermute_gguf(checkpoint, spec, key, rule);
  return rule;
}

}  // namespace

const Architecture& architecture_llama() {
  static const Architecture architecture{"llama", "Llama 1-3 and SmolLM: rms norm, rope, gated silu, grouped queries",
                                         "Touvron et al. 2023, arXiv:2302.13971",
                                         [](const Checkpoint& c) { return model_type(c) == "llama"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
