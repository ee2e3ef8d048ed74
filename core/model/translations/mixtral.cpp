#include "core/model/config_keys.h"
#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

bool fits(const Model& model) { return model.spec.blocks.front().mlp.experts > 0; }

Json config(const Model& model) {
  const MlpSpec& mlp = model.spec.blocks.front().mlp;
  Json config = rotary_config(model).set("sliding_window", window_of(model.spec));
  config.set("num_local_experts", static_cast<std::uint64_t>(mlp.experts)).set("num_experts_per_tok", static_cast<std::uint64_t>(mlp.experts_per_row));
  return config;
}

}  // namespace

const Translation& translation_mixtral() {
  static const Translation translation{.architecture = "mixtral", .gguf = "llama", .model_type = "mixtral", .model_class = "MixtralForCausalLM", .fits = fits, .config = config,
                                       .limits = limits_of_windows};
  return translation;
}

}  // namespace vitrine
