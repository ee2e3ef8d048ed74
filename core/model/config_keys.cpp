#include "core/model/config_keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/model/metadata.h"
#include "core/model/rope_metadata.h"

namespace vitrine {
namespace {

Json list_of(const std::vector<float>& factors, std::size_t pairs) {
  Json list = Json::array();
  for (std::size_t i = 0; i < pairs; ++i) list.push(factors.empty() ? 1.0 : short_number(factors[i]));
  return list;
}

double number_of(const Json& metadata, const std::string& key, double otherwise) { return metadata[key].is_number() ? metadata[key].number() : otherwise; }

/// Llama 3's rule where it makes these factors; its published bounds, and the greatest factor as its own.
Json as_llama3(const Model& model, const AttentionSpec& attention) {
  const auto greatest = static_cast<double>(*std::ranges::max_element(attention.rope_factors));
  for (const std::int64_t original : {8192, 4096, 2048}) {
    Json parameters = Json::object().set("rope_theta", short_number(attention.rope_theta)).set("rope_type", "llama3").set("factor", greatest);
    parameters.set("low_freq_factor", 1.0).set("high_freq_factor", 4.0).set("original_max_position_embeddings", original);
    Checkpoint tried{.format = "safetensors", .path = model.path, .metadata = Json::object(), .tensors = {}, .files = {}};
    tried.metadata.set("rope_parameters", parameters).set("max_position_embeddings", static_cast<std::uint64_t>(model.spec.context));
    AttentionSpec made = attention;
    describe_rope(MetadataReader(tried), RopeDefaults{}, made);
    const bool equal = std::ranges::equal(made.rope_factors, attention.rope_factors, [](float a, float b) { return std::abs(a - b) <= 1e-5f * b; });
    if (equal) return parameters;
  }
  return {};
}

/// linear or yarn, as a GGUF names it.
Json as_named(const Model& model, const AttentionSpec& attention) {
  const Json& metadata = model.checkpoint->metadata;
  const std::string prefix = model_type(*model.checkpoint) + ".rope.scaling.";
  const Json& type = metadata[prefix + "type"];
  if (model.format != "gguf" || !type.is_string() || (type.string() != "linear" && type.string() != "yarn")) return {};
  Json parameters = Json::object().set("rope_theta", short_number(attention.rope_theta)).set("rope_type", type.string());
  parameters.set("factor", number_of(metadata, prefix + "factor", 1.0));
  if (type.string() == "linear") return parameters;
  parameters.set("original_max_position_embeddings", static_cast<std::int64_t>(number_of(metadata, prefix + "original_context_length", static_cast<double>(model.spec.context))));
  parameters.set("beta_fast", number_of(metadata, prefix + "yarn_beta_fast", 32.0)).set("beta_slow", number_of(metadata, prefix + "yarn_beta_slow", 1.0));
  return parameters.set("attention_factor", short_number(attention.rope_magnitude));
}

}  // namespace

double short_number(float number) {
  char text[32];
  const auto [end, code] = std::to_chars(text, text + sizeof text, number);
  double value = 0.0;
  std::from_chars(text, end, value);
  return value;
}

Json rope_parameters(const Model& model, const AttentionSpec& attention) {
  Json parameters = Json::object().set("rope_theta", short_number(attention.rope_theta)).set("rope_type", "default");
  const std::size_t pairs = attention.rope_dim / 2;
  const bool far = !attention.rope_far_factors.empty();
  if (!far && attention.rope_factors.empty() && attention.rope_magnitude == 1.0f) return parameters;
  if (Json named = as_named(model, attention); !named.is_null()) return named;
  if (!far && !attention.rope_factors.empty() && attention.rope_magnitude == 1.0f) {
    if (Json found = as_llama3(model, attention); !found.is_null()) return found;
  }
  // Any factors at all can be said by LongRoPE's two lists.
  parameters.set("rope_type", "longrope").set("short_factor", list_of(attention.rope_factors, pairs));
  parameters.set("long_factor", list_of(far ? attention.rope_far_factors : attention.rope_factors, pairs));
  parameters.set("original_max_position_embeddings", static_cast<std::uint64_t>(far ? attention.rope_near : model.spec.context));
  return parameters.set("attention_factor", short_number(attention.rope_magnitude));
}

double rotary_part(const AttentionSpec& attention) {
  const auto whole = static_cast<double>(attention.head_dim), wanted = static_cast<double>(attention.rope_dim);
  double part = wanted / whole;
  while (whole * part < wanted) part = std::nextafter(part, 2.0);  // readers cut the product down
  return part;
}

void set_rope_config(const Model& model, const AttentionSpec& attention, Json& config) {
  Json parameters = rope_parameters(model, attention);
  if (attention.rope_dim != attention.head_dim) {
    const double part = rotary_part(attention);
    config.set("partial_rotary_factor", part);
    parameters.set("partial_rotary_factor", part);
  }
  config.set("rope_theta", short_number(attention.rope_theta));
  const bool scaled = parameters["rope_type"].string() != "default";
  config.set("rope_scaling", scaled ? parameters : Json()).set("rope_parameters", parameters);
  if (scaled && parameters.has("original_max_position_embeddings")) config.set("original_max_position_embeddings", parameters["original_max_position_embeddings"]);
}

Json layer_types(const ModelSpec& spec) {
  Json list = Json::array();
  for (const BlockSpec& block : spec.blocks) list.push(block.attention.window > 0 ? "sliding_attention" : "full_attention");
  return list;
}

Json window_of(const ModelSpec& spec) {
  for (const BlockSpec& block : spec.blocks) {
    if (block.attention.window > 0) return static_cast<std::uint64_t>(block.attention.window);
  }
  return {};
}

std::string activation_name(Activation activation, std::string_view tanh_name) {
  switch (activation) {
    case Activation::gelu_erf: return "gelu";
    case Activation::gelu_tanh: return std::string(tanh_name);
    case Activation::silu: return "silu";
    case Activation::relu: return "relu";
    case Activation::tanh: return "tanh";
  }
  check_failed("an activation has a name", __FILE__, __LINE__);
}

bool has_bias(const Model& model, Role role) {
  return std::ranges::any_of(model.weights.all(), [&](const auto& pair) { return pair.first.role == role && pair.first.bias; });
}

Json set_optional_window_config(const ModelSpec& spec, Json config) {
  const Json window = window_of(spec);
  const auto first = std::ranges::find_if(spec.blocks, [](const BlockSpec& block) { return block.attention.window > 0; });
  config.set("use_sliding_window", !window.is_null()).set("sliding_window", window).set("max_window_layers", static_cast<std::int64_t>(first - spec.blocks.begin()));
  return config.set("layer_types", layer_types(spec));
}

Json set_gemma_config(const Model& model, Json config) {
  const ModelSpec& spec = model.spec;
  const AttentionSpec& attention = spec.blocks.front().attention;
  const auto cap = [](float number) { return number > 0.0f ? Json(short_number(number)) : Json(); };
  const double scalar = 1.0 / (static_cast<double>(attention.scale) * static_cast<double>(attention.scale));
  config.set("query_pre_attn_scalar", std::abs(scalar - std::round(scalar)) < 1e-3 ? Json(static_cast<std::int64_t>(std::llround(scalar))) : Json(scalar));
  config.set("attn_logit_softcapping", cap(attention.soft_cap)).set("final_logit_softcapping", cap(spec.logit_soft_cap));
  config.set("attention_bias", has_bias(model, Role::attn_q));
  if (const Json window = window_of(spec); !window.is_null()) config.set("sliding_window", window);
  return config.set("layer_types", layer_types(spec));
}

Json t5_config(const Model& model, const ModelSpec& stack) {
  const BlockSpec& block = stack.blocks.front();
  const AttentionSpec& attention = block.attention;
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("d_model", count(stack.width)).set("d_kv", count(attention.head_dim)).set("d_ff", count(block.mlp.width));
  config.set("num_heads", count(attention.heads)).set("relative_attention_num_buckets", count(attention.distance_buckets->count));
  config.set("relative_attention_max_distance", count(attention.distance_buckets->furthest)).set("layer_norm_epsilon", short_number(block.norm_epsilon));
  const std::string activation = activation_name(block.mlp.activation, "gelu");  // "gated-gelu" means the tanh form
  config.set("feed_forward_proj", block.mlp.gated ? "gated-" + activation : activation).set("dropout_rate", 0.0);
  const Json& context = model.checkpoint->metadata[model_type(*model.checkpoint) + ".context_length"];
  return config.set("n_positions", context.is_integer() ? context : Json(512));
}

std::vector<std::string> t5_gate_names(const Model& model) {
  std::vector<std::string> names;
  const auto add = [&](const ModelSpec& stack, const std::string& prefix, const std::string& layer) {
    for (std::size_t i = 0; i < stack.blocks.size(); ++i) {
      if (stack.blocks[i].mlp.gated) names.push_back(prefix + ".block." + std::to_string(i) + ".layer." + layer + ".DenseReluDense.wi_1.weight");
    }
  };
  if (model.spec.encoder.empty()) {
    add(model.spec, "encoder", "1");
  } else {
    add(model.spec.encoder.front(), "encoder", "1");
    add(model.spec, "decoder", "2");
  }
  return names;
}

Json rotary_config(const Model& model, std::string_view activation_key) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  const AttentionSpec& attention = block.attention;
  const auto count = [](std::size_t number) { return static_cast<std::uint64_t>(number); };
  Json config = Json::object().set("hidden_size", count(spec.width)).set("intermediate_size", count(block.mlp.width));
  config.set("num_hidden_layers", count(spec.blocks.size())).set("num_attention_heads", count(attention.heads));
  config.set("num_key_value_heads", count(attention.kv_heads)).set("head_dim", count(attention.head_dim));
  config.set("max_position_embeddings", count(spec.context)).set("rms_norm_eps", short_number(block.norm_epsilon));
  config.set(activation_key, activation_name(block.mlp.activation));
  const auto turns = std::ranges::find_if(spec.blocks, [](const BlockSpec& b) { return b.attention.rope != RopeKind::none; });
  if (turns != spec.blocks.end()) set_rope_config(model, turns->attention, config);
  return config;
}

}  // namespace vitrine
