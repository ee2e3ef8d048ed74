#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/checkpoint/checkpoint.h"
#include "core/model/spec.h"
#include "core/model/weights.h"

namespace vitrine {

/// How a tensor of the file becomes a weight of the model.
struct TensorRule {
  std::string name;          ///< in the file; empty = this model has no such weight
  bool transposed = false;   ///< stored [in, out] (GPT-2's Conv1D)
  std::size_t first_row = 0; ///< of the model's matrix in the file's (fused q, k, v), after transposing
  std::size_t rows = 0;      ///< 0 = all
  std::size_t fused_rows = 0; ///< of the file's matrix, where only a part is the model's; 0 = any number
  std::size_t permuted_heads = 0;  ///< > 0: q, k rows were interleaved per head for GGUF; undone when packed
  /// > 0: of every `period` rows the model's are the first `run` from first_row on (q, k, v of one head after the other)
  std::size_t run = 0, period = 0;
  bool plus_one = false;     ///< stored less one (Gemma's norms)
  bool optional = false;
  bool needed_bias = false;  ///< of a bias, which else may be missing
  std::size_t cols = 0;      ///< > 0: rows of so many numbers, where the file cuts an axis in two
};

/// A family of models as a description. Extension point: core/model/architectures/<name>.cpp.
struct Architecture {
  std::string_view name;     ///< GGUF's general.architecture and config.json's model_type where they agree
  std::string_view summary;
  std::string_view source;
  /// Whether the checkpoint says it is of this family.
  bool (*recognises)(const Checkpoint& checkpoint);
  /// @throws Error naming the key that is missing or makes no sense
  ModelSpec (*describe)(const Checkpoint& checkpoint);
  TensorRule (*tensor)(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key);
};

std::span<const Architecture* const> all_architectures();

/// The family that a checkpoint says it is of. @throws Error naming those there are
const Architecture& architecture_of(const Checkpoint& checkpoint);

}  // namespace vitrine
