#include "core/model/config_keys.h"
#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

/// In GGUF it is BERT without token types.
bool fits(const Model& model) { return model.spec.architecture == "distilbert" || (model.spec.token_types == 0 && !model.spec.readout); }

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("architectures", Json::array().push("DistilBertModel")).set("dim", count(spec.width)).set("hidden_dim", count(block.mlp.width));
  config.set("n_layers", count(spec.blocks.size())).set("n_heads", count(block.attention.heads)).set("max_position_embeddings", count(spec.context));
  for (const char* key : {"attention_dropout", "dropout"}) config.set(key, 0.0);
  return config.set("activation", activation_name(block.mlp.activation, "gelu_new")).set("sinusoidal_pos_embds", false);
}

}  // namespace

const Translation& translation_distilbert() {
  static const Translation translation{.architecture = "distilbert", .gguf = "bert", .model_type = "distilbert", .model_class = "DistilBertModel", .component = "distilbert",
                                       .fits = fits, .complete_gguf = complete_bert_gguf, .config = config};
  return translation;
}

}  // namespace vitrine
