#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/encoder_heads.h"
#include "core/model/metadata.h"

namespace vitrine {
namespace {

const NameTable& names() {
  static const NameTable table{{
      {Role::token_embedding, "", "transformer.word_embedding"},
      {Role::attn_norm, "", "transformer.layer.#.rel_attn.layer_norm"},
      {Role::mlp_up, "", "transformer.layer.#.ff.layer_1"},
      {Role::mlp_down, "", "transformer.layer.#.ff.layer_2"},
      {Role::mlp_norm, "", "transformer.layer.#.ff.layer_norm"},
      {Role::head, "", "lm_loss"},
      {Role::readout_dense, "", "sequence_summary.summary"},
      {Role::readout_labels, "", "logits_proj"},
      {Role::readout_labels, "", "classifier"},
  }};
  return table;
}

/// Parameters that no ".weight" ends, with an axis of heads of its own.
std::string parameter_name(const Checkpoint& checkpoint, const WeightKey& key) {
  static const std::map<Role, std::string_view> parameters{
      {Role::attn_q, "q"}, {Role::attn_k, "k"}, {Role::attn_v, "v"}, {Role::attn_out, "o"}, {Role::attn_distance, "r"},
      {Role::key_bias, "r_w_bias"}, {Role::content_bias, "r_r_bias"}, {Role::segment_bias, "r_s_bias"}, {Role::segment_embedding, "seg_embed"}};
  std::string name = "layer." + std::to_string(key.block) + ".rel_attn.";
  if (key.role == Role::query_embedding) name = "mask_emb";
  else if (const auto found = parameters.find(key.role); found != parameters.end()) name += found->second;
  else return {};
  return checkpoint.find(name) ? name : "transformer." + name;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key) {
  TensorRule rule;
  rule.name = parameter_name(checkpoint, key);
  if (!rule.name.empty()) {
    if (key.bias) return {};
    const bool matrix = key.role == Role::attn_q || key.role == Role::attn_k || key.role == Role::attn_v || key.role == Role::attn_out ||
                        key.role == Role::attn_distance;
    const AttentionSpec& attention = spec.blocks.front().attention;
    if (matrix) rule.cols = attention.heads * attention.head_dim;  // stored [d_model, heads, d_head]
    rule.transposed = matrix && key.role != Role::attn_out;
    return rule;
  }
  if (key.bias && key.role == Role::token_embedding) return rule;
  rule.name = names().find(checkpoint, key);
  rule.optional = key.role == Role::head;
  return rule;
}

ReadoutRows summary_rows(const MetadataReader& read) {
  const std::string type = read.text_or({"summary_type"}, "last");
  if (type == "last" || type == "cls_index") return ReadoutRows::last;  // without an index that is the last row
  if (type == "first") return ReadoutRows::first;
  if (type == "mean") return ReadoutRows::mean;
  read.refuse("summary_type", "last, first, mean or cls_index", quoted(type));
}

std::optional<ReadoutSpec> readout_of(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  const std::string labels = names().find(checkpoint, {Role::readout_labels});
  if (!checkpoint.find(labels)) return std::nullopt;
  ReadoutSpec readout;
  if (labels.starts_with("classifier")) {
    readout.rows = ReadoutRows::every;
  } else {
    readout.rows = summary_rows(read);
    const bool projects = read.flag_or({"summary_use_proj"}, true), activates = !read.text_or({"summary_activation"}, "").empty();
    if (read.flag_or({"summary_proj_to_labels"}, false)) read.refuse("summary_proj_to_labels", "false", "true");
    if (projects != activates) read.refuse("summary_activation", projects ? "an activation behind the projection" : "none without a projection", activates ? "one" : "none");
    if (projects) readout.dense = read.activation("summary_activation", "tanh");
  }
  describe_labels(checkpoint, labels, readout);
  return readout;
}

void describe_mask(const MetadataReader& read, AttentionSpec& attention) {
  const std::string type = read.text_or({"attn_type"}, "bi");
  if (type != "bi" && type != "uni") read.refuse("attn_type", "bi or uni", quoted(type));
  attention.mask = type == "uni" ? Mask::causal : Mask::none;
  // As long a reach for every row as the first has without a memory: itself.
  if (type == "uni" && read.flag_or({"same_length"}, false)) attention.window = 1;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec;
  spec.architecture = "xlnet";
  spec.name = read.text_or({"_name_or_path"}, "xlnet");
  spec.width = read.count({"d_model"});
  if (spec.width % 2 != 0) read.refuse("d_model", "an even number", std::to_string(spec.width));
  spec.query_stream = true;
  spec.final_norm = false;
  spec.pooling = Pooling::last;
  // Half of a batch would read its text backwards.
  if (read.flag_or({"bi_data"}, false)) read.refuse("bi_data", "false", "true");
  refuse_unless_absent(checkpoint, "pruned_heads");
  BlockSpec block;
  AttentionSpec& attention = block.attention;
  attention.heads = attention.kv_heads = read.count({"n_head"}, 4096);
  attention.head_dim = read.count_or({"d_head"}, read.head_size(spec.width, attention.heads));
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  describe_mask(read, attention);
  const double clamp = read.number_or({"clamp_len"}, -1.0);
  if (clamp > 1e6) read.refuse("clamp_len", "at most 1000000", std::to_string(clamp));
  attention.relative = RelativeSpec{.furthest = clamp > 0.0 ? static_cast<std::size_t>(clamp) : 0};
  block.mlp = {read.count({"d_inner"}), false, read.activation("ff_activation", "gelu")};
  block.norm = NormKind::layer;
  block.placement = NormPlacement::post;
  block.norm_epsilon = static_cast<float>(read.number_or({"layer_norm_eps"}, 1e-12));
  spec.blocks.assign(read.count({"n_layer"}, 1024), block);
  const bool bias = checkpoint.find("lm_loss.bias") != nullptr;
  spec.has_head = bias || names().has(checkpoint, Role::head) || is_made_for(checkpoint, "LMHeadModel");
  spec.readout = readout_of(checkpoint);
  return spec;
}

}  // namespace

const Architecture& architecture_xlnet() {
  static const Architecture architecture{"xlnet", "XLNet: distances that meet the query, a stream that predicts what it does not see",
                                         "Yang et al. 2019, arXiv:1906.08237",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "xlnet"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
