#include "core/model/gemma_parts.h"

namespace vitrine {
namespace {

constexpr std::size_t blocks_of_27b = 46;

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "gemma2", .context = 8192, .kv_heads = 4, .head_dim = 256,
                                                  .activation_key = "hidden_activation", .activation = "gelu_pytorch_tanh"});
  set_gemma_embedding(read, spec);
  set_query_scale(read, blocks_of_27b, spec);
  const double cap = read_cap(read, {"%.attn_logit_softcapping", "attn_logit_softcapping"}, 50.0);
  spec.logit_soft_cap = static_cast<float>(read_cap(read, {"%.final_logit_softcapping", "final_logit_softcapping"}, 30.0));
  for (BlockSpec& block : spec.blocks) {
    block.placement = NormPlacement::sandwich;
    block.attention.soft_cap = static_cast<float>(cap);
  }
  set_gemma_windows(read, 2, spec);
  return spec;
}

}  // namespace

const Architecture& architecture_gemma2() {
  static const Architecture architecture{"gemma2", "Gemma 2: norms before and after, capped scores and logits, every other layer slides",
                                         "Gemma Team 2024, arXiv:2408.00118",
                                         [](const Checkpoint& c) { return model_type(c) == "gemma2"; }, describe, gemma_tensor};
  return architecture;
}

}  // namespace vitrine
