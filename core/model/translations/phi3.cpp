#include <string>

#include "core/model/config_keys.h"
#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) {
  Json config = rotary_config(model).set("sliding_window", window_of(model.spec));
  if (!config.has("original_max_position_embeddings")) config.set("original_max_position_embeddings", config["max_position_embeddings"]);
  return config;
}

/// GGUF may have q, k and v apart, but files are made with one matrix.
std::vector<std::string> hints(const Model& model, bool gguf) {
  std::vector<std::string> names;
  for (std::size_t i = 0; gguf && i < model.spec.blocks.size(); ++i) names.push_back("blk." + std::to_string(i) + ".attn_qkv.weight");
  return names;
}

}  // namespace

const Translation& translation_phi3() {
  static const Translation translation{.architecture = "phi3", .gguf = "phi3", .model_type = "phi3", .model_class = "Phi3ForCausalLM", .config = config, .hints = hints,
                                       .limits = limits_of_windows};
  return translation;
}

}  // namespace vitrine
