#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

bool fits(const Model& model) {
  const BlockSpec& block = model.spec.blocks.front();
  return block.mlp.experts == 0 && block.attention.window == 0;
}

Json config(const Model& model) {
  return rotary_config(model).set("attention_bias", has_bias(model, Role::attn_q)).set("mlp_bias", has_bias(model, Role::mlp_up));
}

}  // namespace

const Translation& translation_llama() {
  static const Translation translation{.architecture = "llama", .gguf = "llama", .model_type = "llama", .model_class = "LlamaForCausalLM", .fits = fits, .config = config};
  return translation;
}

}  // namespace vitrine
