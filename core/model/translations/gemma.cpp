#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) {
  Json config = rotary_config(model).set("attention_bias", has_bias(model, Role::attn_q));
  return config.set("hidden_activation", config["hidden_act"]);
}

}  // namespace

const Translation& translation_gemma() {
  static const Translation translation{.architecture = "gemma", .gguf = "gemma", .model_type = "gemma", .model_class = "GemmaForCausalLM", .config = config};
  return translation;
}

}  // namespace vitrine
