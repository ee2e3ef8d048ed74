#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/bert_layout.h"
#include "core/model/encoder_heads.h"

namespace vitrine {
namespace {

const NameTable& names() {
  static const NameTable table = bert_layout_names("bert", {
      {Role::head_transform, "", "cls.predictions.transform.dense"},
      {Role::head_norm, "", "cls.predictions.transform.LayerNorm"},
      {Role::head, "", "cls.predictions.decoder"},
      {Role::head, "", "cls.predictions"},  // the bias alone
      {Role::readout_dense, "cls", "bert.pooler.dense"},
      {Role::readout_labels, "cls.output", "classifier"},
      {Role::readout_labels, "", "cls.seq_relationship"},
  });
  return table;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  return bert_layout_tensor(checkpoint, names(), key);
}

/// GGUF's numbers; none = a vector of each row, which nobody asks of a sentence.
Pooling pooling_of(const Checkpoint& checkpoint) {
  const Json& type = checkpoint.metadata["bert.pooling_type"];
  if (type.is_null()) return Pooling::mean;
  if (type.is_integer() && type.integer() >= 0 && type.integer() <= 4) {
    constexpr Pooling kinds[] = {Pooling::mean, Pooling::mean, Pooling::cls, Pooling::last, Pooling::cls};  // 4: rank, of the first row
    return kinds[type.integer()];
  }
  MetadataReader(checkpoint).refuse("bert.pooling_type", "0 to 4", quoted(type.dump()));
}

/// A pooler with or without a classifier behind it, or a classifier of each token.
std::optional<ReadoutSpec> readout_of(const Checkpoint& checkpoint) {
  const std::string labels = names().find(checkpoint, {Role::readout_labels});
  const bool has_labels = checkpoint.find(labels) != nullptr, has_pooler = names().has(checkpoint, Role::readout_dense);
  if (!has_labels && !has_pooler) return std::nullopt;
  ReadoutSpec readout;
  if (has_labels && (!has_pooler || is_made_for(checkpoint, "ForTokenClassification"))) readout.rows = ReadoutRows::every;
  if (checkpoint.format == "gguf") readout.rows = ReadoutRows::first;
  if (has_pooler && readout.rows == ReadoutRows::first) readout.dense = Activation::tanh;
  if (labels.starts_with("cls.seq_relationship")) {
    readout.labels = 2;
    readout.names = {"is_next", "not_next"};
  } else if (has_labels) {
    describe_labels(checkpoint, labels, readout);
  }
  return readout;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  ModelSpec spec = describe_bert_layout(checkpoint, "bert", names());
  spec.pooling = pooling_of(checkpoint);
  spec.has_head = names().has(checkpoint, Role::head_transform);
  const BlockSpec& block = spec.blocks.front();
  if (spec.has_head) spec.head_transform = {spec.width, block.mlp.activation, block.norm_epsilon};
  spec.readout = readout_of(checkpoint);
  return spec;
}

}  // namespace

const Architecture& architecture_bert() {
  static const Architecture architecture{"bert", "BERT and MiniLM encoders: norm after, learned positions and segments",
                                         "Devlin et al. 2018, arXiv:1810.04805",
                                         [](const Checkpoint& c) { return model_type(c) == "bert"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
