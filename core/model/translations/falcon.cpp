#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const AttentionSpec& attention = block.attention;
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  const bool two_norms = block.placement == NormPlacement::parallel, grouped = two_norms || (attention.kv_heads > 1 && attention.kv_heads < attention.heads);
  Json config = Json::object().set("hidden_size", count(spec.width)).set("num_hidden_layers", count(spec.blocks.size()));
  config.set("num_attention_heads", count(attention.heads)).set("num_kv_heads", count(attention.kv_heads)).set("ffn_hidden_size", count(block.mlp.width));
  config.set("new_decoder_architecture", grouped).set("multi_query", attention.kv_heads == 1).set("parallel_attn", true);
  config.set("num_ln_in_parallel_attn", two_norms ? 2 : 1).set("alibi", false).set("bias", has_bias(model, Role::attn_q));
  config.set("max_position_embeddings", count(spec.context)).set("layer_norm_epsilon", short_number(block.norm_epsilon));
  for (const char* key : {"attention_dropout", "hidden_dropout"}) config.set(key, 0.0);
  set_rope_config(model, attention, config);
  return config.set("activation", activation_name(block.mlp.activation, "gelu_new"));
}

}  // namespace

const Translation& translation_falcon() {
  static const Translation translation{.architecture = "falcon", .gguf = "falcon", .model_type = "falcon", .model_class = "FalconForCausalLM", .component = "transformer",
                                       .config = config};
  return translation;
}

}  // namespace vitrine
