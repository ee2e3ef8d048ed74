#include "core/model/gemma_parts.h"
#include "core/model/rope_metadata.h"

namespace vitrine {
namespace {

constexpr std::size_t blocks_of_27b = 62;
constexpr double global_theta = 1e6, local_theta = 1e4;

/// Layers that slide have a rope of their own, unscaled unless the metadata says else.
void describe_ropes(const MetadataReader& read, ModelSpec& spec) {
  AttentionSpec global = spec.blocks.front().attention, local = global;
  if (read.is_gguf()) {
    describe_gguf_rope(read, {.theta = global_theta}, global);
    local.rope_factors.clear();
    local.rope_magnitude = 1.0f;
    local.rope_theta = static_cast<float>(read.number_or({"%.rope.freq_base_swa"}, local_theta));
  } else {
    const Json& parameters = read.value("rope_parameters");
    if (parameters.is_object() && !parameters.members().empty() && !parameters.has("full_attention")) {
      read.refuse("rope_parameters", "those of full_attention and of sliding_attention", "one for all");
    }
    describe_rope(read, rope_source(read, {.theta = global_theta, .layer_type = "full_attention"}), global);
    RopeSource source{.theta = read.number_or({"rope_local_base_freq"}, local_theta), .original_context = static_cast<double>(spec.context)};
    const Json& own = read.value("rope_parameters")["sliding_attention"];
    if (own.is_object()) source.parameters = own;
    if (own["rope_theta"].is_number()) source.theta = own["rope_theta"].number();
    const Json& original = own["original_max_position_embeddings"];
    if (original.is_number()) source.original_context = original.number();
    describe_rope(read, source, local);
  }
  for (BlockSpec& block : spec.blocks) {
    const std::size_t window = block.attention.window;
    block.attention = window > 0 ? local : global;
    block.attention.window = window;
  }
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "gemma3", .theta = global_theta, .context = 131072, .heads = 8, .kv_heads = 4, .head_dim = 256, .activation_key = "hidden_activation",
                                                  .activation = "gelu_pytorch_tanh", .layer_type = "full_attention"});
  set_gemma_embedding(read, spec);
  set_query_scale(read, blocks_of_27b, spec);
  spec.logit_soft_cap = static_cast<float>(read_cap(read, {"%.final_logit_softcapping", "final_logit_softcapping"}, 0.0));
  for (BlockSpec& block : spec.blocks) {
    block.placement = NormPlacement::sandwich;
    block.attention.qk_norm = true;
  }
  set_gemma_windows(read, 6, spec);
  describe_ropes(read, spec);
  return spec;
}

}  // namespace

const Architecture& architecture_gemma3() {
  static const Architecture architecture{"gemma3", "Gemma 3 (its text part): normed queries and keys, five layers of six slide with a rope of their own",
                                         "Gemma Team 2025, arXiv:2503.19786",
                                         [](const Checkpoint& c) { return model_type(c) == "gemma3" || model_type(c) == "gemma3_text"; },
                                         describe, gemma_tensor};
  return architecture;
}

}  // namespace vitrine
