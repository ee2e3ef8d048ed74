#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/model/model.h"

// A description in config.json's keys.

namespace vitrine {

/// Of Llama and the families of its shape: sizes, heads, norms, rope. @param activation_key  "hidden_act" or "hidden_activation"
Json rotary_config(const Model& model, std::string_view activation_key = "hidden_act");

/// Adds rope_theta, rope_scaling (transformers 4) and rope_parameters (5).
void set_rope_config(const Model& model, const AttentionSpec& attention, Json& config);
/// The value of rope_parameters of one kind of layer.
Json rope_parameters(const Model& model, const AttentionSpec& attention);

/// The part of a head that rotates, from which readers get it back whole.
double rotary_part(const AttentionSpec& attention);

/// "full_attention" or "sliding_attention" for each layer.
Json layer_types(const ModelSpec& spec);
/// The window of the layers that slide, or null.
Json window_of(const ModelSpec& spec);

/// use_sliding_window and what goes with it (Qwen).
Json set_optional_window_config(const ModelSpec& spec, Json config);
/// Scale, caps and windows of Gemma 2 and 3.
Json set_gemma_config(const Model& model, Json config);
/// What both stacks of T5 have alike. @param stack  either
Json t5_config(const Model& model, const ModelSpec& stack);
/// Names that say of Hugging Face's T5 that its MLPs have a gate; none where they have not.
std::vector<std::string> t5_gate_names(const Model& model);

/// The name that transformers has for it. @param tanh_name  what the family calls the tanh form of gelu
std::string activation_name(Activation activation, std::string_view tanh_name = "gelu_pytorch_tanh");

/// A float's shortest decimal that reads back as it: 1e-05, not 9.99999974e-06.
double short_number(float number);

/// Whether any block has a bias of this role.
bool has_bias(const Model& model, Role role);

}  // namespace vitrine
