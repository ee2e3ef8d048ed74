#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("n_embd", count(spec.width)).set("n_layer", count(spec.blocks.size())).set("n_head", count(block.attention.heads));
  config.set("n_positions", count(spec.context)).set("n_ctx", count(spec.context)).set("n_inner", count(block.mlp.width));
  config.set("activation_function", activation_name(block.mlp.activation, "gelu_new")).set("layer_norm_epsilon", short_number(block.norm_epsilon));
  // transformers would else drop numbers at random where it trains.
  for (const char* key : {"attn_pdrop", "embd_pdrop", "resid_pdrop"}) config.set(key, 0.0);
  return config;
}

}  // namespace

const Translation& translation_gpt2() {
  static const Translation translation{.architecture = "gpt2", .gguf = "gpt2", .model_type = "gpt2", .model_class = "GPT2LMHeadModel", .component = "transformer",
                                       .config = config};
  return translation;
}

}  // namespace vitrine
