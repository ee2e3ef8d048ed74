#include "core/model/rotary_decoder.h"

namespace vitrine {
namespace {

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_rotary_decoder(read, {.architecture = "smollm3", .theta = 2e6, .context = 32768, .kv_heads = 4});
  const std::size_t interval = read.count_or({"no_rope_layer_interval"}, 4);
  std::vector<std::size_t> turns = read.counts("no_rope_layers", spec.blocks.size());  // 1 where a layer has a rope
  for (std::size_t i = turns.size(); i < spec.blocks.size(); ++i) turns.push_back((i + 1) % interval != 0);
  const std::vector<bool> said = sliding_layers(read, spec.blocks.size());
  const bool windows = read.flag_or({"use_sliding_window"}, false) && read.has({"sliding_window"});
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    AttentionSpec& attention = spec.blocks[i].attention;
    if (turns[i] == 0) attention.rope = RopeKind::none;
    const bool slides = said.empty() ? windows && turns[i] == 0 : said[i];
    if (slides && !windows) read.refuse("layer_types", "full_attention where there is no sliding window", "sliding_attention");
    if (slides) attention.window = read.count({"sliding_window"});
  }
  return spec;
}

}  // namespace

const Architecture& architecture_smollm3() {
  static const Architecture architecture{"smollm3", "SmolLM 3: Llama without a rope in every fourth layer", "Bakouch et al. 2025, SmolLM3",
                                         [](const Checkpoint& c) { return model_type(c) == "smollm3"; }, describe, llama_tensor};
  return architecture;
}

}  // namespace vitrine
