#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  Json config = rotary_config(model).set("attention_bias", has_bias(model, Role::attn_q)).set("mlp_bias", has_bias(model, Role::mlp_up));
  Json turns = Json::array();
  for (const BlockSpec& block : spec.blocks) turns.push(block.attention.rope == RopeKind::none ? 0 : 1);
  config.set("no_rope_layers", turns).set("use_sliding_window", !window_of(spec).is_null()).set("sliding_window", window_of(spec));
  return config.set("layer_types", layer_types(spec));
}

}  // namespace

const Translation& translation_smollm3() {
  static const Translation translation{.architecture = "smollm3", .gguf = "smollm3", .model_type = "smollm3", .model_class = "SmolLM3ForCausalLM", .config = config};
  return translation;
}

}  // namespace vitrine
