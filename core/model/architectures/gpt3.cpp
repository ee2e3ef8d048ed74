#include "core/base/error.h"
#include "core/model/gpt_parts.h"
#include "core/model/rotary_decoder.h"

// No weights of GPT-3 are public, so the keys are ours: those of GPT-2, "model_type": "gpt3", and "sliding_window": N, how many
// tokens a banded layer sees. Every other layer is banded, the first dense, unless "layer_types" says else
// (full_attention, sliding_attention).

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_gpt(read, "gpt3");
  const std::size_t window = read.count({"sliding_window"});
  const std::vector<bool> said = sliding_layers(read, spec.blocks.size());
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    spec.blocks[i].mlp.activation = read.activation("activation_function", "gelu_new");
    if (said.empty() ? i % 2 == 1 : said[i]) spec.blocks[i].attention.window = window;
  }
  return spec;
}

}  // namespace

const Architecture& architecture_gpt3() {
  static const Architecture architecture{"gpt3", "GPT-3's shape: GPT-2 in which every other layer sees a band of \"sliding_window\" tokens",
                                         "Brown et al. 2020, arXiv:2005.14165, section 2.1",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "gpt3"; }, describe, gpt_tensor};
  return architecture;
}

}  // namespace vitrine
