#include "core/model/config_keys.h"
#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

/// Its GGUF files are Llama's with a window.
bool fits(const Model& model) {
  const BlockSpec& block = model.spec.blocks.front();
  return model.spec.architecture == "mistral" || (block.mlp.experts == 0 && block.attention.window > 0);
}

Json config(const Model& model) { return rotary_config(model).set("sliding_window", window_of(model.spec)); }

}  // namespace

const Translation& translation_mistral() {
  static const Translation translation{.architecture = "mistral", .gguf = "llama", .model_type = "mistral", .model_class = "MistralForCausalLM", .fits = fits, .config = config,
                                       .limits = limits_of_windows};
  return translation;
}

}  // namespace vitrine
