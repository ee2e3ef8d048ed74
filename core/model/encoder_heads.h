#pragma once

#include <string>
#include <string_view>

#include "core/checkpoint/checkpoint.h"
#include "core/model/metadata.h"

// What encoder families share in their descriptions: labels, and choosing among spellings of a tensor's name.

namespace vitrine {

/// Labels of a classifier whose matrix is the tensor `labels` ([labels, width]): their number, names (id2label, else LABEL_i) and
/// rule, as problem_type says; without one, one label is a yes or no (sigmoid) and several exclude each other.
/// @throws Error where names and rows differ in number, or problem_type is none that there is
void describe_labels(const Checkpoint& checkpoint, std::string_view labels, ReadoutSpec& readout);

/// Whether config.json's `architectures` names a class that ends so ("ForTokenClassification").
bool is_made_for(const Checkpoint& checkpoint, std::string_view purpose);

/// @throws Error where a key that would change the numbers has a value that is not supported
void refuse_unless_absent(const Checkpoint& checkpoint, std::string_view key);

}  // namespace vitrine
