#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "mistral", .context = 131072, .kv_heads = 8});
  set_window(read, {"sliding_window"}, spec);
  if (!read.lists("sliding_window")) {
    for (BlockSpec& block : spec.blocks) block.attention.window = 4096;
  }
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  return rotary_decoder_tensor(checkpoint, spec, key, {});
}

}  // namespace

const Architecture& architecture_mistral() {
  static const Architecture architecture{"mistral", "Mistral 7B: Llama with a sliding window in every layer", "Jiang et al. 2023, arXiv:2310.06825",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "mistral"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
