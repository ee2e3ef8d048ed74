#include <algorithm>

#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

constexpr std::size_t usual_pattern = 6;

/// How many layers stand between two that see everything, counting one of them; 0 where that is no rule.
std::size_t pattern_of(const ModelSpec& spec) {
  for (std::size_t pattern = 1; pattern <= spec.blocks.size() + 1; ++pattern) {
    std::size_t i = 0;
    while (i < spec.blocks.size() && (spec.blocks[i].attention.window > 0) == ((i + 1) % pattern != 0)) ++i;
    if (i == spec.blocks.size()) return pattern;
  }
  return 0;
}

const AttentionSpec* sliding_layer(const ModelSpec& spec) {
  const auto found = std::ranges::find_if(spec.blocks, [](const BlockSpec& block) { return block.attention.window > 0; });
  return found == spec.blocks.end() ? nullptr : &found->attention;
}

const AttentionSpec& full_layer(const ModelSpec& spec) {
  const auto found = std::ranges::find_if(spec.blocks, [](const BlockSpec& block) { return block.attention.window == 0; });
  return found == spec.blocks.end() ? spec.blocks.front().attention : found->attention;
}

bool follows_usual_pattern(const ModelSpec& spec) {
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    if ((spec.blocks[i].attention.window > 0) != ((i + 1) % usual_pattern != 0)) return false;
  }
  return true;
}

void complete_gguf(const Model& model, GgufMetadata& metadata) {
  const ModelSpec& spec = model.spec;
  if (const AttentionSpec* sliding = sliding_layer(spec)) metadata.set("gemma3.rope.freq_base_swa", sliding->rope_theta);
  const std::size_t pattern = pattern_of(spec);
  if (!follows_usual_pattern(spec) && pattern > 0) metadata.set("gemma3.attention.sliding_window_pattern", static_cast<std::uint32_t>(pattern));
}

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  Json config = set_gemma_config(model, rotary_config(model, "hidden_activation"));
  const AttentionSpec& full = full_layer(spec);
  set_rope_config(model, full, config);
  Json both = Json::object().set("full_attention", rope_parameters(model, full));
  if (const AttentionSpec* sliding = sliding_layer(spec)) {
    config.set("rope_local_base_freq", short_number(sliding->rope_theta));
    both.set("sliding_attention", Json::object().set("rope_theta", short_number(sliding->rope_theta)).set("rope_type", "default"));
  }
  return config.set("rope_parameters", both);
}

}  // namespace

const Translation& translation_gemma3() {
  static const Translation translation{.architecture = "gemma3", .gguf = "gemma3", .model_type = "gemma3_text", .model_class = "Gemma3ForCausalLM",
                                       .complete_gguf = complete_gguf, .config = config};
  return translation;
}

}  // namespace vitrine
