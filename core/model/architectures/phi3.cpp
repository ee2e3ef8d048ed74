#include "core/model/fused_attention.h"
#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "phi3", .epsilon = 1e-5, .context = 4096, .old_longrope = true});
  set_window(read, {"%.attention.sliding_window", "sliding_window"}, spec);
  return spec;
}

/// q, k and v are one matrix, gate and up another; GGUF calls the second ffn_up.
TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  TensorRule rule = rotary_decoder_tensor(checkpoint, spec, key, {});
  const bool q = key.role == Role::attn_q, k = key.role == Role::attn_k, v = key.role == Role::attn_v;
  const bool gate = key.role == Role::mlp_gate, up = key.role == Role::mlp_up, gguf = checkpoint.format == "gguf";
  if (rule.name.empty() || !(q || k || v || gate || up)) return rule;
  const BlockSpec& block = spec.blocks[static_cast<std::size_t>(key.block)];
  if (gate || up) {
    const NameTable names{{{key.role, "blk.#.ffn_up", "model.layers.#.mlp.gate_up_proj"}}};
    rule.name = names.find(checkpoint, key);
    rule.first_row = up ? block.mlp.width : 0;
    rule.rows = block.mlp.width;
    rule.fused_rows = 2 * block.mlp.width;
    return rule;
  }
  const NameTable names{{{key.role, "blk.#.attn_qkv", "model.layers.#.self_attn.qkv_proj"}}};
  const std::string fused = names.find(checkpoint, key);
  if (gguf && !checkpoint.find(fused)) return rule;  // newer files have them apart
  rule.name = fused;
  take_from_fused(FusedOrder::apart, block.attention, key.role, rule);
  return rule;
}

}  // namespace

const Architecture& architecture_phi3() {
  static const Architecture architecture{"phi3", "Phi 3 and 4: Llama with fused q, k, v and gate, up; long texts turn by factors of their own",
                                         "Abdin et al. 2024, arXiv:2404.14219",
                                         [](const Checkpoint& c) { return model_type(c) == "phi3"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
