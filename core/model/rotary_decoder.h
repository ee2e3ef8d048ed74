#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/model/architecture.h"
#include "core/model/metadata.h"
#include "core/model/spec.h"

// What Llama and the families that follow its shape share: rms norms, rope, separate q, k, v, a gated MLP, under the same names.

namespace vitrine {

/// What a family has where its metadata says nothing.
struct RotaryDefaults {
  std::string_view architecture;
  double theta = 10000.0;
  double epsilon = 1e-6;
  std::size_t context = 0;   ///< 0: it must say
  std::size_t heads = 0;     ///< 0: it must say
  std::size_t kv_heads = 0;  ///< 0: as many as heads
  std::size_t head_dim = 0;  ///< 0: width / heads
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
  std::string_view layer_type{};  ///< whose rope parameters, where they are kept by layer type
  bool old_longrope = false;      ///< "yarn" and "su" mean longrope (Phi 3), and a part of a head may rotate; of the others all does
};

/// Sizes, norms, activation, rope, scale 1 / sqrt(head_dim), all blocks alike.
ModelSpec describe_rotary_decoder(const MetadataReader& read, const RotaryDefaults& defaults);

/// Which products have biases in a config.json's model; a GGUF has those it has.
struct BiasRule {
  bool qkv = false, attn_out = false, mlp = false;
};
/// Names in both formats. In GGUF a missing head is the embedding's, and the rows of q and k are taken as they are.
TensorRule rotary_decoder_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key, const BiasRule& biases);

/// Undoes the order in which GGUF's writers for Llama's own families put the rows of q and k.
void unpermute_gguf(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key, TensorRule& rule);

/// The two above, with the biases that attention_bias and mlp_bias speak of (Llama, SmolLM 3).
TensorRule llama_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key);

/// For each layer whether it slides: layer_types where the metadata has them; empty where not.
/// @throws Error where a type is none of full_attention and sliding_attention
std::vector<bool> sliding_layers(const MetadataReader& read, std::size_t blocks);

/// The window of all layers, where `keys` name one.
void set_window(const MetadataReader& read, std::initializer_list<std::string_view> keys, ModelSpec& spec);

/// layer_types, or the layers from max_window_layers on, slide where use_sliding_window says so (Qwen).
void set_optional_windows(const MetadataReader& read, std::size_t default_first, ModelSpec& spec);

/// A mixture of experts in place of each MLP, where the metadata has one.
void set_experts(const MetadataReader& read, ModelSpec& spec);

}  // namespace vitrine
