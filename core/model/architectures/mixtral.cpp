#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "mixtral", .theta = 1e6, .epsilon = 1e-5, .context = 131072, .kv_heads = 8});
  set_window(read, {"sliding_window"}, spec);
  set_experts(read, spec);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  return rotary_decoder_tensor(checkpoint, spec, key, {});
}

}  // namespace

const Architecture& architecture_mixtral() {
  static const Architecture architecture{"mixtral", "Mixtral: Mistral with a mixture of experts for an MLP", "Jiang et al. 2024, arXiv:2401.04088",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "mixtral"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
