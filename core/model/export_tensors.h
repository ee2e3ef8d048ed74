#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/tensor_to_write.h"
#include "core/model/architecture.h"
#include "core/model/model.h"

namespace vitrine {

/// What tensors are listed for.
struct ExportTarget {
  const Checkpoint& checkpoint;      ///< the target's as far as it is known, or the source where names stay
  const Architecture& architecture;  ///< that recognises it
  bool gguf = false;
  bool same_names = false;           ///< the source is of the same kind: whatever else it holds stays
  bool needs_head = false;           ///< also where it is the embedding; what its rows are scaled by goes into it
  std::optional<DType> type{};       ///< of matrices; none: as they are
};

struct TensorList {
  std::vector<TensorToWrite> tensors;
  std::vector<std::string> left_out;  ///< heads that the target has no names for
};

/// The target's tensors: those of the weights, then what else a source of the same kind has.
/// @throws Error where the target has no place for a weight, or one place for two that differ
TensorList list_tensors(const Model& model, const ExportTarget& target);

}  // namespace vitrine
