#include "core/model/gguf_keys.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/model/metadata.h"
#include "core/model/rope_metadata.h"

namespace vitrine {
namespace {

/// Sets keys of one architecture.
class Keys {
 public:
  Keys(std::string_view architecture, GgufMetadata& metadata) : architecture_(architecture), prefix_(architecture_ + "."), metadata_(metadata) {}
  std::string_view architecture() const { return architecture_; }
  void count(std::string_view key, std::size_t number) { metadata_.set(prefix_ + std::string(key), static_cast<std::uint32_t>(number)); }
  void number(std::string_view key, double number) { metadata_.set(prefix_ + std::string(key), static_cast<float>(number)); }
  void text(std::string_view key, std::string text) { metadata_.set(prefix_ + std::string(key), std::move(text)); }

 private:
  std::string architecture_, prefix_;
  GgufMetadata& metadata_;
};

TensorToWrite factors_tensor(std::string name, std::vector<float> factors) {
  const std::size_t count = factors.size();
  auto numbers = std::make_shared<Tensor>(DType::f32, std::vector<std::size_t>{count});
  std::ranges::copy(factors, numbers->floats().begin());
  return {.name = std::move(name), .type = DType::f32, .shape = {count}, .make = [numbers, count] {
            return Weight{DType::f32, 1, count, numbers->bytes().data(), numbers};
          }};
}

std::vector<float> whole(std::vector<float> factors, const AttentionSpec& attention) {
  if (factors.empty()) factors.assign(attention.rope_dim / 2, 1.0f);
  return factors;
}

double number_of(const Json& object, std::string_view key, double otherwise) { return object[key].is_number() ? object[key].number() : otherwise; }

/// Of layers with different ropes the last that sees everything turns by the general one (Gemma 3's sixth; SmolLM 3's fourth has none). Null
/// where none turns.
const AttentionSpec* general_rope(const ModelSpec& spec) {
  const auto turns = [](const BlockSpec& block) { return block.attention.rope != RopeKind::none; };
  const auto general = std::find_if(spec.blocks.rbegin(), spec.blocks.rend(), [&](const BlockSpec& block) { return turns(block) && block.attention.window == 0; });
  if (general != spec.blocks.rend()) return &general->attention;
  const auto any = std::ranges::find_if(spec.blocks, turns);
  return any == spec.blocks.end() ? nullptr : &any->attention;
}

/// The rule by which a config.json's angles are scaled.
struct NamedScaling {
  RopeSource source;
  std::string type;
  double factor = 1.0, beta_fast = 32.0, beta_slow = 1.0;

  bool has_usual_betas() const { return type != "yarn" || (beta_fast == 32.0 && beta_slow == 1.0); }
};

/// None where GGUF has no name for it, or the model is a GGUF.
std::optional<NamedScaling> named_scaling(const Model& model, const AttentionSpec& attention) {
  const MetadataReader read(*model.checkpoint);
  if (read.is_gguf()) return std::nullopt;
  const bool layered = read.value("rope_parameters")["full_attention"].is_object() || read.value("rope_scaling")["full_attention"].is_object();
  const RopeSource source = rope_source(read, {.theta = static_cast<double>(attention.rope_theta), .layer_type = layered ? "full_attention" : ""});
  const Json& said = source.parameters[source.parameters.has("rope_type") ? "rope_type" : "type"];
  const std::string type = said.is_string() ? said.string() : "default";
  if (type != "linear" && type != "yarn") return std::nullopt;
  const auto number = [&](std::string_view key, double otherwise) { return number_of(source.parameters, key, otherwise); };
  return NamedScaling{source, type, number("factor", static_cast<double>(model.spec.context) / source.original_context), number("beta_fast", 32.0), number("beta_slow", 1.0)};
}

/// Whether llama.cpp multiplies this architecture's angles by the tensor rope_freqs.weight.
bool reads_factors(std::string_view architecture) { return architecture == "llama"; }

/// Whether there was a rule with a name that llama.cpp follows; of its own betas it reads the keys in few architectures, factors say the same.
bool set_named_scaling(const Model& model, const AttentionSpec& attention, Keys& keys) {
  const std::optional<NamedScaling> scaling = named_scaling(model, attention);
  if (!scaling || (!scaling->has_usual_betas() && reads_factors(keys.architecture()))) return false;
  keys.text("rope.scaling.type", scaling->type);
  keys.number("rope.scaling.factor", scaling->factor);
  if (scaling->type == "linear") return true;
  keys.count("rope.scaling.original_context_length", static_cast<std::size_t>(scaling->source.original_context));
  if (!scaling->has_usual_betas()) {
    keys.number("rope.scaling.yarn_beta_fast", scaling->beta_fast);
    keys.number("rope.scaling.yarn_beta_slow", scaling->beta_slow);
  }
  const double usual = scaling->factor <= 1.0 ? 1.0 : 0.1 * std::log(scaling->factor) + 1.0, magnitude = static_cast<double>(attention.rope_magnitude);
  if (std::abs(magnitude / usual - 1.0) > 1e-6) keys.number("rope.scaling.attn_factor", magnitude / usual);
  return true;
}

std::vector<TensorToWrite> set_rope(const Model& model, const AttentionSpec& attention, Keys& keys) {
  keys.count("rope.dimension_count", attention.rope_dim);
  keys.number("rope.freq_base", static_cast<double>(attention.rope_theta));
  if (set_named_scaling(model, attention, keys)) return {};
  if (attention.rope_magnitude != 1.0f) keys.number("rope.scaling.attn_factor", static_cast<double>(attention.rope_magnitude));
  if (!attention.rope_far_factors.empty()) {
    keys.count("rope.scaling.original_context_length", attention.rope_near);
    return {factors_tensor("rope_factors_long.weight", whole(attention.rope_far_factors, attention)),
            factors_tensor("rope_factors_short.weight", whole(attention.rope_factors, attention))};
  }
  if (attention.rope_factors.empty()) return {};
  return {factors_tensor("rope_freqs.weight", attention.rope_factors)};
}

void set_attention(const ModelSpec& spec, Keys& keys) {
  const AttentionSpec& attention = spec.blocks.front().attention;
  keys.count("attention.head_count", attention.heads);
  keys.count("attention.head_count_kv", attention.kv_heads);
  if (attention.head_dim * attention.heads != spec.width) {
    keys.count("attention.key_length", attention.head_dim);
    keys.count("attention.value_length", attention.head_dim);
  }
  const BlockSpec& block = spec.blocks.front();
  keys.number(block.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", static_cast<double>(block.norm_epsilon));
  if (attention.soft_cap > 0.0f) keys.number("attn_logit_softcapping", static_cast<double>(attention.soft_cap));
  const auto slides = std::ranges::find_if(spec.blocks, [](const BlockSpec& b) { return b.attention.window > 0; });
  if (slides != spec.blocks.end()) keys.count("attention.sliding_window", slides->attention.window);
}

}  // namespace

std::vector<std::string> limits_of_rope(const Model& model, std::string_view architecture) {
  const AttentionSpec* turning = general_rope(model.spec);
  const std::optional<NamedScaling> scaling = turning ? named_scaling(model, *turning) : std::nullopt;
  if (!scaling || scaling->has_usual_betas() || reads_factors(architecture)) return {};
  char words[160];
  std::snprintf(words, sizeof words, "llama.cpp takes YaRN's betas as 32 and 1 in files of this architecture: give it --yarn-beta-fast %g --yarn-beta-slow %g", scaling->beta_fast, scaling->beta_slow);
  return {words};
}

std::vector<TensorToWrite> set_gguf_keys(const Model& model, std::string_view architecture, GgufMetadata& metadata) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  Keys keys(architecture, metadata);
  if (spec.context > 0) keys.count("context_length", spec.context);
  keys.count("embedding_length", spec.width);
  keys.count("block_count", spec.blocks.size());
  keys.count("feed_forward_length", block.mlp.width);
  set_attention(spec, keys);
  if (block.mlp.experts > 0) {
    keys.count("expert_count", block.mlp.experts);
    keys.count("expert_used_count", block.mlp.experts_per_row);
  }
  if (spec.logit_soft_cap > 0.0f) keys.number("final_logit_softcapping", static_cast<double>(spec.logit_soft_cap));
  keys.count("vocab_size", spec.vocabulary);
  const AttentionSpec* turning = general_rope(spec);
  return turning ? set_rope(model, *turning, keys) : std::vector<TensorToWrite>{};
}

void complete_bert_gguf(const Model& model, GgufMetadata& metadata) {
  const ModelSpec& spec = model.spec;
  metadata.set("tokenizer.ggml.token_type_count", static_cast<std::uint32_t>(std::max<std::size_t>(spec.token_types, 1)));  // llama.cpp wants one, also where no tensor has any
  metadata.set("bert.attention.causal", spec.blocks.front().attention.mask == Mask::causal);
  const bool labels = spec.readout && spec.readout->labels > 0 && spec.readout->rows == ReadoutRows::first;
  std::uint32_t pooling = 0;
  switch (spec.pooling) {
    case Pooling::none: pooling = 0; break;
    case Pooling::mean: pooling = 1; break;
    case Pooling::cls: pooling = 2; break;
    case Pooling::last: pooling = 3; break;
  }
  metadata.set("bert.pooling_type", labels ? std::uint32_t{4} : pooling);  // 4: what a text is ranked by
  if (labels) metadata.set("bert.classifier.output_labels", spec.readout->names);
}

std::vector<std::string> limits_of_windows(const Model& model) {
  for (const BlockSpec& block : model.spec.blocks) {
    if (block.attention.window == 0) continue;
    return {"llama.cpp knows no window in this family: it answers the same on texts of up to " + std::to_string(block.attention.window) + " tokens"};
  }
  return {};
}

std::uint32_t gguf_file_type(std::span<const TensorToWrite> tensors) {
  std::map<DType, std::uint64_t> numbers;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.shape.size() < 2) continue;
    std::uint64_t count = 1;
    for (const std::size_t extent : tensor.shape) count *= extent;
    numbers[tensor.type] += count;
  }
  const auto most = std::ranges::max_element(numbers, {}, [](const auto& pair) { return pair.second; });
  switch (most == numbers.end() ? DType::f32 : most->first) {
    case DType::f16: return 1;
    case DType::q4_0: return 2;
    case DType::q4_1: return 3;
    case DType::q8_0: return 7;
    case DType::q5_0: return 8;
    case DType::q5_1: return 9;
    case DType::q2_k: return 10;
    case DType::q3_k: return 12;
    case DType::q4_k: return 15;
    case DType::q5_k: return 17;
    case DType::q6_k: return 18;
    case DType::iq4_nl: return 25;
    case DType::iq4_xs: return 30;
    case DType::bf16: return 32;
    case DType::iq2_xxs: return 19;
    case DType::iq2_xs: return 20;
    case DType::iq3_xxs: return 23;
    case DType::iq1_s: return 24;
    case DType::iq3_s: return 26;
    case DType::iq2_s: return 28;
    case DType::iq1_m: return 31;
    case DType::tq1_0: return 36;
    case DType::tq2_0: return 37;
    case DType::mxfp4: return 38;
    default: return 0;
  }
}

}  // namespace vitrine
