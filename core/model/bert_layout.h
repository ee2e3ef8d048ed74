#pragma once

#include <string_view>

#include "core/model/architecture.h"
#include "core/model/metadata.h"

// BERT's layout of an encoder, which RoBERTa and ELECTRA share: norms behind attention and mlp, learned positions, token types.

namespace vitrine {

/// Names of embeddings and blocks; '@' is the family's prefix ("bert"). Heads and readouts are the family's own rows.
NameTable bert_layout_names(std::string_view prefix, std::initializer_list<NameTable::Row> heads);

/// Everything but heads and readouts. @throws Error naming the key that is missing or makes no sense
ModelSpec describe_bert_layout(const Checkpoint& checkpoint, std::string_view architecture, const NameTable& names);

/// A tensor by its name; tables have no bias, heads and token types may be missing.
TensorRule bert_layout_tensor(const Checkpoint& checkpoint, const NameTable& names, const WeightKey& key);

}  // namespace vitrine
