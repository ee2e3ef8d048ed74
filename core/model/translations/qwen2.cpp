#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) { return set_optional_window_config(model.spec, rotary_config(model)); }

}  // namespace

const Translation& translation_qwen2() {
  static const Translation translation{.architecture = "qwen2", .gguf = "qwen2", .model_type = "qwen2", .model_class = "Qwen2ForCausalLM", .config = config};
  return translation;
}

}  // namespace vitrine
