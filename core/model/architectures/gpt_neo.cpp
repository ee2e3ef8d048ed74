#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

constexpr std::size_t most_layers = 1024;

/// attention_types: [[[kinds], times], ...], the kinds of one list in turns.
std::vector<std::string> layer_kinds(const MetadataReader& read) {
  std::vector<std::string> kinds;
  const Json& types = read.value("attention_types");
  if (types.is_null()) {
    for (int i = 0; i < 24; ++i) kinds.push_back(i % 2 == 0 ? "global" : "local");
    return kinds;
  }
  const auto refuse = [&] { read.refuse("attention_types", "[[[\"global\", \"local\"], times], ...]", quoted(types.dump())); };
  if (!types.is_array()) refuse();
  for (const Json& item : types.items()) {
    const bool fits = item.is_array() && item.items().size() == 2 && item.items()[0].is_array() && item.items()[1].is_integer();
    if (!fits || item.items()[1].integer() < 0 || item.items()[1].integer() > static_cast<std::int64_t>(most_layers)) refuse();
    for (std::int64_t i = 0; i < item.items()[1].integer(); ++i) {
      for (const Json& kind : item.items()[0].items()) {
        if (!kind.is_string() || kinds.size() >= most_layers) refuse();
        kinds.push_back(kind.string());
      }
    }
  }
  return kinds;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "gpt_neo";
  spec.name = read.text_or({"_name_or_path"}, "gpt_neo");
  spec.width = read.count({"hidden_size"});
  spec.context = read.count({"max_position_embeddings"});
  spec.learned_positions = true;
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"num_heads", "num_attention_heads"}, 4096);
  attention.head_dim = read.head_size(spec.width, attention.heads);
  attention.scale = 1.0f;
  block.mlp = {read.count_or({"intermediate_size"}, 4 * spec.width), false, read.activation("activation_function", "gelu_new")};
  block.norm = NormKind::layer;
  block.norm_epsilon = static_cast<float>(read.number_or({"layer_norm_epsilon"}, 1e-5));
  spec.blocks.assign(read.count({"num_layers", "num_hidden_layers"}, most_layers), block);
  const std::vector<std::string> kinds = layer_kinds(read);
  if (kinds.size() != spec.blocks.size()) {
    read.refuse("attention_types", std::to_string(spec.blocks.size()) + " layers", std::to_string(kinds.size()));
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] != "global" && kinds[i] != "local") read.refuse("attention_types", "global or local", quoted(kinds[i]));
    if (kinds[i] == "local") spec.blocks[i].attention.window = read.count_or({"window_size"}, 256);
  }
  return spec;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::head;
  if (key.bias && (table || key.role == Role::attn_q || key.role == Role::attn_k || key.role == Role::attn_v)) return {};
  const NameTable names{{
      {Role::token_embedding, "", "transformer.wte"},
      {Role::position_embedding, "", "transformer.wpe"},
      {Role::final_norm, "", "transformer.ln_f"},
      {Role::head, "", "lm_head"},
      {Role::attn_norm, "", "transformer.h.#.ln_1"},
      {Role::attn_q, "", "transformer.h.#.attn.attention.q_proj"},
      {Role::attn_k, "", "transformer.h.#.attn.attention.k_proj"},
      {Role::attn_v, "", "transformer.h.#.attn.attention.v_proj"},
      {Role::attn_out, "", "transformer.h.#.attn.attention.out_proj"},
      {Role::mlp_norm, "", "transformer.h.#.ln_2"},
      {Role::mlp_up, "", "transformer.h.#.mlp.c_fc"},
      {Role::mlp_down, "", "transformer.h.#.mlp.c_proj"},
  }};
  return {.name = names.find(checkpoint, key), .optional = key.role == Role::head, .needed_bias = true};
}

}  // namespace

const Architecture& architecture_gpt_neo() {
  static const Architecture architecture{"gpt_neo", "GPT-Neo: GPT-2 with unscaled scores, every other layer local", "Black et al. 2021, GPT-Neo",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "gpt_neo"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
