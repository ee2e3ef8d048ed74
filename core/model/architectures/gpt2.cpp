#include "core/model/gpt_parts.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_gpt(read, "gpt2");
  for (BlockSpec& block : spec.blocks) block.mlp.activation = read.activation("activation_function", "gelu_new");
  return spec;
}

}  // namespace

const Architecture& architecture_gpt2() {
  static const Architecture architecture{"gpt2", "GPT-2 and DialoGPT: layer norm before, learned positions, gelu",
                                         "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
                                         [](const Checkpoint& c) { return model_type(c) == "gpt2"; }, describe, gpt_tensor};
  return architecture;
}

}  // namespace vitrine
