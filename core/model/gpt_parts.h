#pragma once

#include <string_view>

#include "core/model/architecture.h"
#include "core/model/metadata.h"

// What GPT-2 and the models of its shape share: layer norms, learned positions, q, k, v in one matrix kept as [in, out].

namespace vitrine {

/// Sizes, norms and scale under GPT-2's keys, all blocks alike. The MLP's activation is the caller's.
ModelSpec describe_gpt(const MetadataReader& read, std::string_view architecture);

TensorRule gpt_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key);

}  // namespace vitrine
