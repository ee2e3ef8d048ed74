#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

void complete_gguf(const Model& model, GgufMetadata& metadata) {
  metadata.set("gptneox.use_parallel_residual", model.spec.blocks.front().placement == NormPlacement::parallel);
}

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("hidden_size", count(spec.width)).set("intermediate_size", count(block.mlp.width)).set("num_hidden_layers", count(spec.blocks.size()));
  config.set("num_attention_heads", count(block.attention.heads)).set("max_position_embeddings", count(spec.context));
  config.set("hidden_act", activation_name(block.mlp.activation, "gelu_new")).set("layer_norm_eps", short_number(block.norm_epsilon));
  config.set("use_parallel_residual", block.placement == NormPlacement::parallel).set("attention_bias", has_bias(model, Role::attn_q));
  set_rope_config(model, block.attention, config);
  config.set("rotary_emb_base", config["rope_theta"]);
  const double part = rotary_part(block.attention);
  Json parameters = config["rope_parameters"];
  return config.set("rotary_pct", part).set("rope_parameters", parameters.set("partial_rotary_factor", part));
}

}  // namespace

const Translation& translation_gpt_neox() {
  static const Translation translation{.architecture = "gpt_neox", .gguf = "gptneox", .model_type = "gpt_neox", .model_class = "GPTNeoXForCausalLM", .component = "gpt_neox",
                                       .complete_gguf = complete_gguf, .config = config, .needs_head = [](const Model&) { return true; }};
  return translation;
}

}  // namespace vitrine
