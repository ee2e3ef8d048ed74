#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/bert_layout.h"
#include "core/model/encoder_heads.h"

namespace vitrine {
namespace {

const NameTable& names() {
  static const NameTable table = bert_layout_names("roberta", {
      {Role::head_transform, "", "lm_head.dense"},
      {Role::head_norm, "", "lm_head.layer_norm"},
      {Role::head, "", "lm_head.decoder"},
      {Role::head, "", "lm_head"},  // the bias alone
      {Role::readout_dense, "", "classifier.dense"},
      {Role::readout_dense, "", "roberta.pooler.dense"},
      {Role::readout_labels, "", "classifier.out_proj"},
      {Role::readout_labels, "", "classifier"},
  });
  return table;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  return bert_layout_tensor(checkpoint, names(), key);
}

std::optional<ReadoutSpec> readout_of(const Checkpoint& checkpoint) {
  const std::string labels = names().find(checkpoint, {Role::readout_labels});
  const bool has_labels = checkpoint.find(labels) != nullptr, has_dense = names().has(checkpoint, Role::readout_dense);
  if (!has_labels && !has_dense) return std::nullopt;
  ReadoutSpec readout;
  // One matrix behind a pooler is that of a multiple choice; alone it labels tokens.
  const bool one_matrix = has_labels && !labels.starts_with("classifier.out_proj");
  if (one_matrix && !is_made_for(checkpoint, "ForMultipleChoice")) readout.rows = ReadoutRows::every;
  if (readout.rows == ReadoutRows::first && has_dense) readout.dense = Activation::tanh;
  if (has_labels) describe_labels(checkpoint, labels, readout);
  return readout;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_bert_layout(checkpoint, "roberta", names());
  const Json& pad = checkpoint.metadata["pad_token_id"];
  if (!pad.is_null() && (!pad.is_integer() || pad.integer() < 0)) read.refuse("pad_token_id", "a token id", quoted(pad.dump()));
  const auto padding = static_cast<std::size_t>(pad.is_null() ? 1 : pad.integer());
  if (padding + 1 >= spec.context) {
    read.refuse("max_position_embeddings", "more than pad_token_id + 1 (" + std::to_string(padding + 1) + ")", std::to_string(spec.context));
  }
  spec.position_offset = padding + 1;  // positions count from the row behind the padding's
  spec.context -= spec.position_offset;
  spec.uncounted_token = static_cast<std::int32_t>(padding);
  spec.has_head = names().has(checkpoint, Role::head_transform);
  if (spec.has_head) spec.head_transform = {spec.width, Activation::gelu_erf, spec.blocks.front().norm_epsilon};
  spec.readout = readout_of(checkpoint);
  return spec;
}

bool recognises(const Checkpoint& checkpoint) {
  const std::string type = model_type(checkpoint);
  return checkpoint.format != "gguf" && (type == "roberta" || type == "xlm-roberta" || type == "camembert");
}

}  // namespace

const Architecture& architecture_roberta() {
  static const Architecture architecture{"roberta", "RoBERTa, XLM-RoBERTa, CamemBERT: BERT whose positions count behind the padding",
                                         "Liu et al. 2019, arXiv:1907.11692", recognises, describe, tensor};
  return architecture;
}

}  // namespace vitrine
