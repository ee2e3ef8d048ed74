#include "core/model/encoder_heads.h"

#include "core/base/error.h"

namespace vitrine {

void describe_labels(const Checkpoint& checkpoint, std::string_view labels, ReadoutSpec& readout) {
  const MetadataReader read(checkpoint);
  const NamedTensor* tensor = checkpoint.find(labels);
  VITRINE_CHECK(tensor != nullptr);
  readout.labels = tensor->weight.rows;
  const Json& names = checkpoint.metadata["id2label"];
  if (names.is_object() && names.members().size() != readout.labels) {
    read.refuse("id2label", std::to_string(readout.labels) + " labels (rows of " + std::string(labels) + ")", std::to_string(names.members().size()));
  }
  const Json& list = read.value("%.classifier.output_labels");  // a GGUF's
  for (std::size_t i = 0; i < readout.labels; ++i) {
    const std::string key = std::to_string(i);
    const Json& name = list.is_array() && i < list.items().size() ? list.items()[i] : names[key];
    readout.names.push_back(name.is_string() ? name.string() : "LABEL_" + key);
  }
  const std::string problem = read.text_or({"problem_type"}, "");
  readout.rule = readout.labels == 1 ? LabelRule::sigmoid : LabelRule::softmax;
  if (problem == "regression") readout.rule = LabelRule::number;
  else if (problem == "multi_label_classification") readout.rule = LabelRule::sigmoid;
  else if (problem == "single_label_classification") readout.rule = LabelRule::softmax;
  else if (!problem.empty()) read.refuse("problem_type", "regression, single_label_classification or multi_label_classification", quoted(problem));
}

bool is_made_for(const Checkpoint& checkpoint, std::string_view purpose) {
  const Json& classes = checkpoint.metadata["architectures"];
  if (!classes.is_array()) return false;
  for (const Json& name : classes.items()) {
    if (name.is_string() && name.string().ends_with(purpose)) return true;
  }
  return false;
}

void refuse_unless_absent(const Checkpoint& checkpoint, std::string_view key) {
  const Json& value = checkpoint.metadata[key];
  const bool absent = value.is_null() || (value.is_bool() && !value.boolean()) || (value.is_object() && value.members().empty()) ||
                      (value.is_array() && value.items().empty());
  if (!absent) MetadataReader(checkpoint).refuse(key, "nothing (not supported)", quoted(value.dump()));
}

}  // namespace vitrine
