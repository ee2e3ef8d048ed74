#include <algorithm>
#include <string>

#include "core/model/config_keys.h"
#include "core/model/metadata.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

constexpr std::uint32_t usual_context = 512;  // tokens of the texts it was trained on: biases by distance have no bound

bool fits(const Model& model) { return !model.spec.encoder.empty(); }

void complete_gguf(const Model& model, GgufMetadata& metadata) {
  const ModelSpec &decoder = model.spec, &encoder = decoder.encoder.front();
  const AttentionSpec& attention = decoder.blocks.front().attention;
  metadata.set("t5.context_length", usual_context);
  metadata.set("t5.block_count", static_cast<std::uint32_t>(encoder.blocks.size()));
  metadata.set("t5.decoder_block_count", static_cast<std::uint32_t>(decoder.blocks.size()));
  metadata.set("t5.attention.key_length", static_cast<std::uint32_t>(attention.head_dim));
  metadata.set("t5.attention.value_length", static_cast<std::uint32_t>(attention.head_dim));
  metadata.set("t5.attention.relative_buckets_count", static_cast<std::uint32_t>(attention.distance_buckets->count));
  const Json& start = model.checkpoint->metadata["decoder_start_token_id"];
  const bool said = start.is_integer() && start.integer() >= 0;
  metadata.set("t5.decoder_start_token_id", said ? static_cast<std::uint32_t>(start.integer()) : std::uint32_t{0});
}

Json config(const Model& model) {
  const ModelSpec &decoder = model.spec, &encoder = decoder.encoder.front();
  Json config = t5_config(model, decoder).set("num_layers", static_cast<std::uint64_t>(encoder.blocks.size()));
  config.set("num_decoder_layers", static_cast<std::uint64_t>(decoder.blocks.size())).set("is_encoder_decoder", true);
  const Json& start = model.checkpoint->metadata["t5.decoder_start_token_id"];
  config.set("scale_decoder_outputs", decoder.head_scale != 1.0f);
  return config.set("decoder_start_token_id", start.is_integer() ? start : Json(0));
}

std::vector<std::string> hints(const Model& model, bool gguf) { return gguf ? std::vector<std::string>{} : t5_gate_names(model); }

}  // namespace

const Translation& translation_t5() {
  static const Translation translation{.architecture = "t5", .gguf = "t5", .model_type = "t5", .model_class = "T5ForConditionalGeneration", .component = "", .fits = fits,
                                       .complete_gguf = complete_gguf, .config = config, .hints = hints,
                                       // llama.cpp does not scale the rows that meet the embedding: the scale goes into a head of its own.
                                       .needs_head = [](const Model& model) { return model.spec.has_head; }};
  return translation;
}

}  // namespace vitrine
