#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "llama", .context = 2048});
  set_window(read, {"%.attention.sliding_window"}, spec);  // Mistral's GGUF files are of this family
  if (read.has({"%.expert_count"})) set_experts(read, spec);  // and Mixtral's
  return spec;
}

}  // namespace

const Architecture& architecture_llama() {
  static const Architecture architecture{"llama", "Llama 1-3 and SmolLM: rms norm, rope, gated silu, grouped queries",
                                         "Touvron et al. 2023, arXiv:2302.13971",
                                         [](const Checkpoint& c) { return model_type(c) == "llama"; }, describe, llama_tensor};
  return architecture;
}

}  // namespace vitrine
