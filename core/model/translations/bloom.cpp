#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

constexpr std::uint32_t usual_context = 2048;  // tokens of the texts it was trained on: ALiBi itself has no bound

void complete_gguf(const Model& model, GgufMetadata& metadata) {
  const Json& length = model.checkpoint->metadata["seq_length"];
  const bool said = length.is_integer() && length.integer() > 0 && length.integer() < 1 << 24;
  metadata.set("bloom.context_length", said ? static_cast<std::uint32_t>(length.integer()) : usual_context);
}

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("hidden_size", count(spec.width)).set("n_layer", count(spec.blocks.size())).set("n_head", count(block.attention.heads));
  const Json& length = model.checkpoint->metadata["bloom.context_length"];
  if (length.is_integer()) config.set("seq_length", length);
  for (const char* key : {"attention_dropout", "hidden_dropout"}) config.set(key, 0.0);
  return config.set("layer_norm_epsilon", short_number(block.norm_epsilon)).set("apply_residual_connection_post_layernorm", false);
}

}  // namespace

const Translation& translation_bloom() {
  static const Translation translation{.architecture = "bloom", .gguf = "bloom", .model_type = "bloom", .model_class = "BloomForCausalLM", .component = "transformer",
                                       .complete_gguf = complete_gguf, .config = config};
  return translation;
}

}  // namespace vitrine
