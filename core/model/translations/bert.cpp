#include "core/model/config_keys.h"
#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

bool fits(const Model& model) { return model.checkpoint->format != "gguf" || model.spec.token_types > 0 || model.spec.readout; }

Json config(const Model& model) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("hidden_size", count(spec.width)).set("intermediate_size", count(block.mlp.width)).set("num_hidden_layers", count(spec.blocks.size()));
  config.set("num_attention_heads", count(block.attention.heads)).set("max_position_embeddings", count(spec.context));
  config.set("type_vocab_size", count(spec.token_types)).set("hidden_act", activation_name(block.mlp.activation, "gelu_new"));
  config.set("layer_norm_eps", short_number(block.norm_epsilon)).set("position_embedding_type", "absolute");
  if (block.attention.mask == Mask::causal) config.set("is_decoder", true);
  for (const char* key : {"attention_probs_dropout_prob", "hidden_dropout_prob"}) config.set(key, 0.0);
  if (!spec.readout || spec.readout->labels == 0) return config.set("architectures", Json::array().push("BertModel"));
  Json names = Json::object(), numbers = Json::object();
  for (std::size_t i = 0; i < spec.readout->names.size(); ++i) {
    names.set(std::to_string(i), spec.readout->names[i]);
    numbers.set(spec.readout->names[i], count(i));
  }
  return config.set("id2label", names).set("label2id", numbers);
}

}  // namespace

const Translation& translation_bert() {
  static const Translation translation{.architecture = "bert", .gguf = "bert", .model_type = "bert", .model_class = "BertForSequenceClassification", .component = "bert", .fits = fits,
                                       .complete_gguf = complete_bert_gguf, .config = config};
  return translation;
}

}  // namespace vitrine
