#include "core/model/gpt_parts.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_gpt(read, "openai_gpt");
  spec.final_norm = false;
  const bool gelu = read.text_or({"afn"}, "gelu") == "gelu";  // which meant the tanh form
  for (BlockSpec& block : spec.blocks) {
    block.placement = NormPlacement::post;
    block.mlp.activation = gelu ? Activation::gelu_tanh : read.activation("afn", "gelu");
    block.mlp.width = 4 * spec.width;
  }
  return spec;
}

}  // namespace

const Architecture& architecture_openai_gpt() {
  static const Architecture architecture{"openai_gpt", "GPT (the first): norm after, learned positions, gelu",
                                         "Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "openai-gpt"; }, describe, gpt_tensor};
  return architecture;
}

}  // namespace vitrine
