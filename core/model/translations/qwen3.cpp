#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) {
  return set_optional_window_config(model.spec, rotary_config(model).set("attention_bias", has_bias(model, Role::attn_q)));
}

}  // namespace

const Translation& translation_qwen3() {
  static const Translation translation{.architecture = "qwen3", .gguf = "qwen3", .model_type = "qwen3", .model_class = "Qwen3ForCausalLM", .config = config};
  return translation;
}

}  // namespace vitrine
