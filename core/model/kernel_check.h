#pragma once

#include "core/model/attention.h"
#include "core/model/kv_format.h"
#include "core/model/model.h"

namespace vitrine {

/// @throws Error (usage) where the kernel cannot do the problem, with its reason
void require_kernel(const KernelChoice& choice, const ModelSpec& spec, const AttentionProblem& problem);

/// The same for every attention of a model whose caches are of a format: before anything is computed or written.
void require_kernel(const KernelChoice& choice, const Model& model, const KvFormat& format);

}  // namespace vitrine
