#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) { return set_gemma_config(model, rotary_config(model, "hidden_activation")); }

}  // namespace

const Translation& translation_gemma2() {
  static const Translation translation{.architecture = "gemma2", .gguf = "gemma2", .model_type = "gemma2", .model_class = "Gemma2ForCausalLM", .config = config};
  return translation;
}

}  // namespace vitrine
