#include "core/base/error.h"
#include "core/model/gemma_parts.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "gemma", .context = 8192, .kv_heads = 16, .head_dim = 256, .activation = "gelu_pytorch_tanh"});
  for (BlockSpec& block : spec.blocks) block.mlp.activation = read_gemma_activation(read, "hidden_act");
  set_gemma_embedding(read, spec);
  return spec;
}

}  // namespace

const Architecture& architecture_gemma() {
  static const Architecture architecture{"gemma", "Gemma: rms norm of 1 + weight, scaled embedding, gated gelu", "Gemma Team 2024, arXiv:2403.08295",
                                         [](const Checkpoint& c) { return model_type(c) == "gemma"; }, describe, gemma_tensor};
  return architecture;
}

}  // namespace vitrine
