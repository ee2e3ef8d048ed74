#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "qwen2", .context = 32768, .kv_heads = 32});
  set_optional_windows(read, 28, spec);
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  return rotary_decoder_tensor(checkpoint, spec, key, {.qkv = true});
}

}  // namespace

const Architecture& architecture_qwen2() {
  static const Architecture architecture{"qwen2", "Qwen 2 and 2.5: Llama with biases of q, k, v", "Yang et al. 2024, arXiv:2407.10671",
                                         [](const Checkpoint& c) { return model_type(c) == "qwen2"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
