#include "core/model/config_keys.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

constexpr std::uint32_t usual_context = 512;

bool fits(const Model& model) { return model.spec.encoder.empty(); }

void complete_gguf(const Model& model, GgufMetadata& metadata) {
  const AttentionSpec& attention = model.spec.blocks.front().attention;
  metadata.set("t5encoder.context_length", usual_context);
  metadata.set("t5encoder.attention.key_length", static_cast<std::uint32_t>(attention.head_dim));
  metadata.set("t5encoder.attention.value_length", static_cast<std::uint32_t>(attention.head_dim));
  metadata.set("t5encoder.attention.relative_buckets_count", static_cast<std::uint32_t>(attention.distance_buckets->count));
}

Json config(const Model& model) {
  return t5_config(model, model.spec).set("num_layers", static_cast<std::uint64_t>(model.spec.blocks.size())).set("is_encoder_decoder", false);
}

std::vector<std::string> hints(const Model& model, bool gguf) { return gguf ? std::vector<std::string>{} : t5_gate_names(model); }

}  // namespace

const Translation& translation_t5encoder() {
  static const Translation translation{.architecture = "t5", .gguf = "t5encoder", .model_type = "t5", .model_class = "T5EncoderModel", .component = "", .fits = fits,
                                       .complete_gguf = complete_gguf, .config = config, .hints = hints};
  return translation;
}

}  // namespace vitrine
