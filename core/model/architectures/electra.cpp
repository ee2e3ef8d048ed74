#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/bert_layout.h"
#include "core/model/encoder_heads.h"

namespace vitrine {
namespace {

const NameTable& names() {
  static const NameTable table = bert_layout_names("electra", {
      {Role::embedding_projection, "", "electra.embeddings_project"},
      {Role::head_transform, "", "generator_predictions.dense"},
      {Role::head_norm, "", "generator_predictions.LayerNorm"},
      {Role::head, "", "generator_lm_head"},
      {Role::readout_dense, "", "discriminator_predictions.dense"},
      {Role::readout_dense, "", "classifier.dense"},
      {Role::readout_labels, "", "discriminator_predictions.dense_prediction"},
      {Role::readout_labels, "", "classifier.out_proj"},
      {Role::readout_labels, "", "classifier"},
  });
  return table;
}

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) {
  return bert_layout_tensor(checkpoint, names(), key);
}

/// Which tokens were replaced (the discriminator), or labels of a text or of its tokens.
std::optional<ReadoutSpec> readout_of(const Checkpoint& checkpoint, Activation activation) {
  const std::string labels = names().find(checkpoint, {Role::readout_labels});
  if (!checkpoint.find(labels)) return std::nullopt;
  ReadoutSpec readout;
  if (labels.starts_with("discriminator_predictions")) {
    return ReadoutSpec{ReadoutRows::every, activation, 1, {"replaced"}, LabelRule::sigmoid};
  }
  if (is_made_for(checkpoint, "ForMultipleChoice")) {
    MetadataReader(checkpoint).refuse("architectures", "a classifier of one text or of its tokens", "ForMultipleChoice");
  }
  if (labels.starts_with("classifier.out_proj")) readout.dense = Activation::gelu_erf;
  else readout.rows = ReadoutRows::every;
  describe_labels(checkpoint, labels, readout);
  return readout;
}

ModelSpec describe(const Checkpoint& checkpoint) {
  const MetadataReader read(checkpoint);
  ModelSpec spec = describe_bert_layout(checkpoint, "electra", names());
  const std::size_t embedding = read.count_or({"embedding_size"}, 128);
  if (embedding != spec.width) spec.embedding_width = embedding;
  spec.has_head = names().has(checkpoint, Role::head_transform);
  if (spec.has_head) spec.head_transform = {embedding, Activation::gelu_erf, spec.blocks.front().norm_epsilon};
  spec.readout = readout_of(checkpoint, spec.blocks.front().mlp.activation);
  return spec;
}

}  // namespace

const Architecture& architecture_electra() {
  static const Architecture architecture{"electra", "ELECTRA's generators and discriminators: BERT with narrower embeddings",
                                         "Clark et al. 2020, arXiv:2003.10555",
                                         [](const Checkpoint& c) { return model_type(c) == "electra"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
